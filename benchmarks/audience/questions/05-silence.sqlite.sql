-- shape: stream
SELECT customer_id FROM purchase
WHERE +product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND +"at" > {61 days} AND +"at" < {now}
GROUP BY customer_id HAVING max("at") <= {30 days}
-- shape: sums
SELECT customer_id FROM purchase
WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {61 days} AND "at" < {now}
GROUP BY customer_id HAVING max("at") <= {30 days}
-- shape: not since
SELECT DISTINCT customer_id FROM purchase
WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {61 days} AND "at" <= {30 days}
  AND customer_id NOT IN (SELECT customer_id FROM purchase
    WHERE product_id IN (SELECT id FROM product WHERE department = 'PRODUCE') AND "at" > {30 days} AND "at" < {now})
