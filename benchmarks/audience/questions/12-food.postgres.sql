-- shape: semi
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING sum(amount) >= 2000000
-- shape: sums
WITH rich AS MATERIALIZED (
  SELECT customer_id FROM purchase_order
  WHERE "at" >= {1 year} AND "at" < {now} AND customer_id IN (SELECT customer_id FROM buyer WHERE last_at >= {1 year} AND gross >= 2000000)
  GROUP BY customer_id HAVING sum(gross) >= 2000000)
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now}
  AND customer_id IN (SELECT customer_id FROM rich) AND product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING sum(amount) >= 2000000
-- shape: grouped within sums
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now}
  AND customer_id IN (SELECT customer_id FROM buyer WHERE last_at >= {1 year} AND gross >= 2000000) AND product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING sum(amount) >= 2000000
