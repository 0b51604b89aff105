-- shape: flag
SELECT customer_id FROM purchase LEFT JOIN (SELECT id FROM product WHERE department = 'PETS') AS pets ON id = product_id
WHERE "at" < {now} GROUP BY customer_id HAVING count(id) = 0
-- shape: except
SELECT customer_id FROM purchase WHERE "at" < {now}
EXCEPT
SELECT customer_id FROM purchase WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS')
