-- shape: semi
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING sum(amount) >= 2000000
-- shape: join
SELECT customer_id FROM purchase JOIN (SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55'))) AS f ON f.id = product_id
WHERE "at" >= {1 year} AND "at" < {now} GROUP BY customer_id HAVING sum(amount) >= 2000000
