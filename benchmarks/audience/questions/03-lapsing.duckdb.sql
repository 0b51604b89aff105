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
