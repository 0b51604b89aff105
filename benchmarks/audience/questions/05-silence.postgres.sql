-- shape: group
SELECT customer_id FROM purchase
WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {61 days} AND "at" < {now}
GROUP BY customer_id HAVING max("at") <= {30 days}
-- shape: sums
SELECT customer_id FROM purchase
WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {61 days} AND "at" < {now}
GROUP BY customer_id HAVING max("at") <= {30 days}
-- shape: not since
SELECT customer_id FROM (SELECT DISTINCT customer_id FROM purchase
  WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {61 days} AND "at" <= {30 days}) AS h
WHERE NOT EXISTS (SELECT 1 FROM purchase p WHERE p.customer_id = h.customer_id AND "at" > {30 days} AND "at" < {now}
  AND product_id IN (SELECT id FROM product WHERE department = 'PRODUCE'))
