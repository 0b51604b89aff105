-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" >= {1 year} AND +"at" < {now}
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
-- shape: sums stream
SELECT customer_id FROM purchase_order WHERE +"at" >= {1 year} AND +"at" < {now}
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
-- shape: sums correlated
SELECT customer_id FROM buyer h WHERE last_at >= {1 year} AND gross >= 1000000
  AND (SELECT sum(amount) BETWEEN 1000000 AND 3000000 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now})
