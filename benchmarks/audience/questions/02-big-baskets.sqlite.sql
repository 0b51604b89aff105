-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" >= {90 days} AND +"at" < {now} GROUP BY customer_id
HAVING count(DISTINCT order_key) >= 3 AND sum(amount) >= 300000 * count(DISTINCT order_key)
-- shape: sums correlated
SELECT customer_id FROM buyer h WHERE last_at >= {90 days} AND orders >= 3 AND gross >= 900000
  AND (SELECT count(DISTINCT order_key) >= 3 AND sum(amount) >= 300000 * count(DISTINCT order_key) FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now})
