-- shape: except
SELECT customer_id FROM (
  SELECT DISTINCT customer_id, order_key FROM purchase WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" >= {90 days} AND "at" < {now})
AS v GROUP BY customer_id HAVING count(*) >= 3
EXCEPT
SELECT customer_id FROM purchase WHERE product_id IN (SELECT id FROM product WHERE department IN ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI')) AND "at" < {now}
-- shape: probe
WITH v AS MATERIALIZED (SELECT customer_id FROM (
  SELECT DISTINCT customer_id, order_key FROM purchase WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" >= {90 days} AND "at" < {now})
AS v GROUP BY customer_id HAVING count(*) >= 3)
SELECT customer_id FROM v WHERE NOT EXISTS (
  SELECT 1 FROM purchase p WHERE p.customer_id = v.customer_id AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department IN ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI')))
