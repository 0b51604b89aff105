-- shape: group
SELECT customer_id FROM purchase WHERE "at" >= {1 year} AND "at" < {now}
GROUP BY customer_id HAVING sum(amount) BETWEEN 1000000 AND 3000000
