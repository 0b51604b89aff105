-- shape: nested
SELECT customer_id FROM (
  SELECT customer_id, order_key, sum(amount) AS amount FROM purchase WHERE "at" >= {90 days} AND "at" < {now} GROUP BY customer_id, order_key) AS o
GROUP BY customer_id HAVING count(*) >= 3 AND sum(amount) >= 300000 * count(*)
-- shape: distinct
SELECT customer_id FROM purchase WHERE "at" >= {90 days} AND "at" < {now} GROUP BY customer_id
HAVING count(DISTINCT order_key) >= 3 AND sum(amount) >= 300000 * count(DISTINCT order_key)
-- shape: sums
SELECT customer_id FROM purchase_order WHERE "at" >= {90 days} AND "at" < {now} GROUP BY customer_id
HAVING count(DISTINCT order_key) >= 3 AND sum(amount) >= 300000 * count(DISTINCT order_key)
-- shape: sums lateral
SELECT h.customer_id FROM buyer h CROSS JOIN LATERAL (SELECT count(DISTINCT order_key) AS times, sum(amount) AS amount FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now}) AS q
WHERE h.last_at >= {90 days} AND h.orders >= 3 AND h.gross >= 900000 AND times >= 3 AND q.amount >= 300000 * times
