-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" < {now} GROUP BY customer_id
HAVING sum(CASE WHEN "at" >= {1 month} THEN amount END) > 1000000
  AND max(CASE WHEN +product_id IN (SELECT id FROM product WHERE department = 'BABY') THEN "at" END) < {60 days}
-- shape: sums correlated
SELECT customer_id FROM (
  SELECT customer_id FROM purchase
  WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'BABY')
  GROUP BY customer_id HAVING max("at") < {60 days}) AS h
WHERE (SELECT sum(amount) > 1000000 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 month} AND "at" < {now})
