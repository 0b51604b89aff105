-- shape: nested
SELECT customer_id FROM (SELECT customer_id, product_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (
    SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55'))) GROUP BY customer_id, product_id) AS f
GROUP BY customer_id HAVING count(*) >= 25
-- shape: restricted
WITH f AS (SELECT customer_id, product_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (
    SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))), many AS (
  SELECT customer_id FROM f GROUP BY customer_id HAVING count(*) >= 25)
SELECT customer_id FROM f WHERE customer_id IN (SELECT customer_id FROM many)
GROUP BY customer_id HAVING count(DISTINCT product_id) >= 25
-- shape: sums
WITH many AS MATERIALIZED (
  SELECT customer_id FROM purchase_order
  WHERE "at" >= {1 year} AND "at" < {now} AND customer_id IN (SELECT customer_id FROM buyer WHERE last_at >= {1 year} AND lines >= 25)
  GROUP BY customer_id HAVING sum(lines) >= 25)
SELECT customer_id FROM (
  SELECT customer_id, product_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (
    SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
  AND customer_id IN (SELECT customer_id FROM many) GROUP BY customer_id, product_id) AS f
GROUP BY customer_id HAVING count(*) >= 25
-- shape: grouped within sums
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now}
  AND customer_id IN (SELECT customer_id FROM buyer WHERE last_at >= {1 year} AND lines >= 25) AND product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING count(DISTINCT product_id) >= 25
