-- shape: group
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now}
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
-- shape: sums
SELECT customer_id FROM purchase_order WHERE "at" >= {1 year} AND "at" < {now}
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
-- shape: sums restricted
SELECT customer_id FROM purchase_order WHERE "at" >= {1 year} AND "at" < {now} AND customer_id IN (
  SELECT customer_id FROM buyer WHERE last_at >= {1 year} AND gross >= 1000000)
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
-- shape: sums lateral
SELECT h.customer_id FROM buyer h CROSS JOIN LATERAL (SELECT sum(amount) AS amount FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now}) AS q
WHERE h.last_at >= {1 year} AND h.gross >= 1000000 AND q.amount BETWEEN 1000000 AND 3000000
