-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" < {now}
GROUP BY customer_id HAVING sum(+product_id IN (SELECT id FROM product WHERE department = 'PETS')) = 0
-- shape: sums not in
SELECT customer_id FROM buyer WHERE first_at < {now} AND customer_id NOT IN (
  SELECT customer_id FROM purchase WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS'))
-- shape: sums except
SELECT customer_id FROM buyer WHERE first_at < {now}
EXCEPT
SELECT customer_id FROM purchase WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'PETS')
