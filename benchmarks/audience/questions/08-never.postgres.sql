-- shape: flag
SELECT customer_id FROM purchase LEFT JOIN (SELECT id FROM product WHERE department = 'PETS') AS pets ON id = product_id
WHERE "at" < {now} GROUP BY customer_id HAVING count(id) = 0
-- shape: except
SELECT customer_id FROM purchase WHERE "at" < {now}
EXCEPT
SELECT customer_id FROM purchase WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS')
-- shape: sums not exists
SELECT customer_id FROM buyer h WHERE first_at < {now} AND NOT EXISTS (
  SELECT 1 FROM purchase p WHERE p.customer_id = h.customer_id AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS'))
-- shape: sums except
SELECT customer_id FROM buyer WHERE first_at < {now}
EXCEPT
SELECT customer_id FROM purchase WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS')
