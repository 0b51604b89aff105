-- shape: nested
SELECT customer_id FROM (
  SELECT customer_id, order_key, sum(amount) AS amount FROM purchase WHERE "at" >= {90 days} AND "at" < {now} GROUP BY customer_id, order_key) AS o
GROUP BY customer_id HAVING count(*) >= 3 AND sum(amount) >= 300000 * count(*)
-- shape: distinct
SELECT customer_id FROM purchase WHERE "at" >= {90 days} AND "at" < {now} GROUP BY customer_id
HAVING count(DISTINCT order_key) >= 3 AND sum(amount) >= 300000 * count(DISTINCT order_key)
