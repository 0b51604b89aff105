-- shape: distinct
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} GROUP BY customer_id
HAVING max("at") >= {90 days} AND max("at") < {30 days} AND count(DISTINCT order_key) >= 5 AND sum(amount) >= 1000000
-- shape: restricted
WITH l AS MATERIALIZED (
  SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} GROUP BY customer_id
  HAVING max("at") >= {90 days} AND max("at") < {30 days} AND sum(amount) >= 1000000)
SELECT customer_id FROM (
  SELECT DISTINCT customer_id, order_key FROM purchase
  WHERE "at" >= {1 year} AND "at" < {now} AND customer_id IN (SELECT customer_id FROM l)) AS o
GROUP BY customer_id HAVING count(*) >= 5
-- shape: sums lateral
SELECT h.customer_id FROM buyer h CROSS JOIN LATERAL (SELECT count(DISTINCT order_key) AS times, sum(amount) AS amount FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now}) AS q
WHERE last_at >= {90 days} AND first_at < {now} AND CASE WHEN last_at < {now} THEN last_at < {30 days} ELSE
  (SELECT max("at") < {30 days} FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now}) END
  AND h.orders >= 5 AND h.gross >= 1000000 AND times >= 5 AND q.amount >= 1000000
