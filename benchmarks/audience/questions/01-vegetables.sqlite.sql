-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" < {now} GROUP BY customer_id
HAVING count(DISTINCT CASE WHEN "at" >= {90 days} AND +product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') THEN order_key END) >= 3
  AND sum(+product_id IN (SELECT id FROM product WHERE department IN ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI'))) = 0
-- shape: sums probe
WITH v AS MATERIALIZED (SELECT customer_id FROM purchase
  WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" >= {90 days} AND "at" < {now}
  GROUP BY customer_id HAVING count(DISTINCT order_key) >= 3)
SELECT customer_id FROM v WHERE NOT EXISTS (
  SELECT 1 FROM purchase p WHERE p.customer_id = v.customer_id AND "at" < {now} AND +product_id IN (SELECT id FROM product WHERE department IN ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI')))
