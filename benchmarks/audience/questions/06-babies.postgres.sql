-- shape: semi
SELECT customer_id FROM purchase WHERE "at" >= {1 month} AND "at" < {now} AND customer_id IN (
  SELECT customer_id FROM purchase
  WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'BABY')
  GROUP BY customer_id HAVING max("at") < {60 days})
GROUP BY customer_id HAVING sum(amount) > 1000000
-- shape: sums correlated
SELECT customer_id FROM (
  SELECT customer_id FROM purchase
  WHERE "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'BABY')
  GROUP BY customer_id HAVING max("at") < {60 days}) AS h
WHERE (SELECT sum(amount) > 1000000 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 month} AND "at" < {now})
-- shape: not since
SELECT customer_id FROM (SELECT DISTINCT customer_id FROM purchase
  WHERE "at" < {60 days} AND product_id IN (SELECT id FROM product WHERE department = 'BABY')) AS h
WHERE customer_id NOT IN (SELECT customer_id FROM purchase
    WHERE "at" >= {60 days} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'BABY'))
  AND (SELECT sum(amount) > 1000000 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 month} AND "at" < {now})
