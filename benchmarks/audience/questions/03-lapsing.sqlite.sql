-- shape: stream
SELECT customer_id FROM purchase WHERE +"at" >= {1 year} AND +"at" < {now} GROUP BY customer_id
HAVING max("at") >= {90 days} AND max("at") < {30 days} AND count(DISTINCT order_key) >= 5 AND sum(amount) >= 1000000
-- shape: sums correlated
SELECT customer_id FROM buyer h WHERE orders >= 5 AND gross >= 1000000 AND last_at >= {90 days} AND first_at < {now} AND CASE WHEN last_at < {now} THEN last_at < {30 days} ELSE
  (SELECT max("at") < {30 days} FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now}) END
  AND (SELECT count(DISTINCT order_key) >= 5 AND sum(amount) >= 1000000 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now})
