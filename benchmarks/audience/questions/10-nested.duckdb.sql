-- shape: folded
WITH bought AS (
  SELECT customer_id, max("at") AS last,
    count(DISTINCT CASE WHEN channel = 'online' AND "at" >= {180 days} THEN order_key END) AS online,
    coalesce(sum(CASE WHEN brand = 'Private' AND "at" >= {180 days} THEN quantity END), 0) AS own,
    sum(CASE WHEN department = 'FROZEN GROCERY' THEN 1 ELSE 0 END) AS frozen,
    sum(CASE WHEN department IN ('WINE', 'BEER', 'SPIRITS') THEN 1 ELSE 0 END) AS drink
  FROM purchase JOIN product ON product.id = product_id
  WHERE "at" >= {1 year} AND "at" < {now} GROUP BY customer_id)
SELECT id FROM bought JOIN customer ON customer_id = id WHERE drink = 0 AND last >= {90 days}
  AND ((online >= 2 AND (facts ->> '$.segment') = 'gold') OR (own >= 100000 AND frozen = 0))
-- shape: prefiltered
WITH bought AS (
  SELECT customer_id, max("at") AS last,
    count(DISTINCT CASE WHEN channel = 'online' AND "at" >= {180 days} THEN order_key END) AS online,
    coalesce(sum(CASE WHEN brand = 'Private' AND "at" >= {180 days} THEN quantity END), 0) AS own,
    sum(CASE WHEN department = 'FROZEN GROCERY' THEN 1 ELSE 0 END) AS frozen,
    sum(CASE WHEN department IN ('WINE', 'BEER', 'SPIRITS') THEN 1 ELSE 0 END) AS drink
  FROM purchase JOIN product ON product.id = product_id
  WHERE "at" >= {1 year} AND "at" < {now} AND customer_id IN (
    SELECT customer_id FROM purchase WHERE "at" >= {90 days} AND "at" < {now})
  GROUP BY customer_id)
SELECT id FROM bought JOIN customer ON customer_id = id WHERE drink = 0 AND last >= {90 days}
  AND ((online >= 2 AND (facts ->> '$.segment') = 'gold') OR (own >= 100000 AND frozen = 0))
