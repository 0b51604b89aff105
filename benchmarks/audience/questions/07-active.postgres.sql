-- shape: distinct
SELECT DISTINCT customer_id FROM purchase WHERE "at" >= {30 days} AND "at" < {now}
-- shape: sums
SELECT customer_id FROM buyer h WHERE last_at >= {30 days} AND (last_at < {now} OR EXISTS
  (SELECT 1 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {30 days} AND "at" < {now}))
