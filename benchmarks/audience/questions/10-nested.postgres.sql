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
  AND ((online >= 2 AND (facts ->> 'segment') = 'gold') OR (own >= 100000 AND frozen = 0))
-- shape: sums correlated
SELECT customer_id FROM buyer h WHERE last_at >= {90 days} AND first_at < {now} AND (last_at < {now} OR EXISTS (SELECT 1 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now}))
  AND ((orders >= 2 AND (SELECT count(DISTINCT order_key) >= 2 FROM purchase o
    WHERE o.customer_id = h.customer_id AND "at" >= {180 days} AND "at" < {now} AND channel = 'online')
      AND (SELECT (facts ->> 'segment') = 'gold' FROM customer WHERE id = h.customer_id))
    OR ((SELECT sum(quantity) >= 100000 FROM purchase p
    WHERE p.customer_id = h.customer_id AND "at" >= {180 days} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE brand = 'Private'))
      AND NOT EXISTS (SELECT 1 FROM purchase p
    WHERE p.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'FROZEN GROCERY'))))
  AND NOT EXISTS (SELECT 1 FROM purchase p
    WHERE p.customer_id = h.customer_id AND "at" >= {1 year} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department IN ('WINE', 'BEER', 'SPIRITS')))
-- shape: gold first, drinkers as a set
SELECT customer_id FROM buyer h WHERE last_at >= {90 days} AND first_at < {now} AND (last_at < {now} OR EXISTS (SELECT 1 FROM purchase_order o
    WHERE o.customer_id = h.customer_id AND "at" >= {90 days} AND "at" < {now}))
  AND customer_id NOT IN (SELECT customer_id FROM purchase
    WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department IN ('WINE', 'BEER', 'SPIRITS')))
  AND ((orders >= 2 AND (SELECT (facts ->> 'segment') = 'gold' FROM customer WHERE id = h.customer_id)
      AND (SELECT count(DISTINCT order_key) >= 2 FROM purchase o
        WHERE o.customer_id = h.customer_id AND "at" >= {180 days} AND "at" < {now} AND channel = 'online'))
    OR (customer_id NOT IN (SELECT customer_id FROM purchase
        WHERE "at" >= {1 year} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE department = 'FROZEN GROCERY'))
      AND (SELECT sum(quantity) >= 100000 FROM purchase p
        WHERE p.customer_id = h.customer_id AND "at" >= {180 days} AND "at" < {now} AND product_id IN (SELECT id FROM product WHERE brand = 'Private'))))
