-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" >= {1 year} AND +"at" < {now} AND +product_id IN (
  SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55')))
GROUP BY customer_id HAVING count(DISTINCT product_id) >= 25
-- shape: sums correlated
SELECT customer_id FROM buyer h WHERE last_at >= {1 year} AND lines >= 25
  AND (SELECT sum(lines) >= 25 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now})
  AND (SELECT count(DISTINCT product_id) >= 25 FROM purchase p
    WHERE p.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now} AND +product_id IN (SELECT id FROM product WHERE department IN ('PRODUCE', 'MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI', 'DAIRY',
    'FROZEN GROCERY', 'PASTRY', 'SALAD BAR', 'NUTRITION')
    OR (department = 'GROCERY' AND category NOT IN ('GROCERY 7', 'GROCERY 12', 'GROCERY 31', 'GROCERY 55'))))
