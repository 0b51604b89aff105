-- shape: semi
SELECT customer_id FROM purchase WHERE "at" >= {1 month} AND "at" < {now} AND customer_id IN (
  SELECT customer_id FROM purchase
  WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'BABY')
  GROUP BY customer_id HAVING max("at") < {60 days})
GROUP BY customer_id HAVING sum(amount) > 1000000
-- shape: join
WITH b AS MATERIALIZED (SELECT customer_id FROM purchase JOIN product ON product.id = product_id AND department = 'BABY'
  WHERE "at" < {now} GROUP BY customer_id HAVING max("at") < {60 days})
SELECT customer_id FROM purchase JOIN b USING (customer_id)
WHERE "at" >= {1 month} AND "at" < {now} GROUP BY customer_id HAVING sum(amount) > 1000000
