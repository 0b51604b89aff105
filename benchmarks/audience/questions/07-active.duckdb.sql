-- shape: distinct
SELECT DISTINCT customer_id FROM purchase WHERE "at" >= {30 days} AND "at" < {now}
-- shape: group
SELECT customer_id FROM purchase WHERE "at" >= {30 days} AND "at" < {now} GROUP BY customer_id
