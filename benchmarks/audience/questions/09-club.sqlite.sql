-- shape: semi
SELECT id FROM customer WHERE country IN ('DE', 'AT') AND (facts ->> 'club') = 1 AND (lot * {factor} + {offset}) % 2147483647 % 10000 < 5000
  AND id IN (SELECT customer_id FROM consent WHERE topic = 'offers' AND given)
  AND id IN (SELECT customer_id FROM trait WHERE name = 'favourite_department' AND value = 'PRODUCE' AND confidence >= 0.8)
-- shape: trait first
SELECT c.id FROM trait t JOIN customer c ON c.id = t.customer_id
  JOIN consent o ON o.customer_id = t.customer_id AND o.topic = 'offers' AND o.given
WHERE t.name = 'favourite_department' AND value = 'PRODUCE' AND confidence >= 0.8 AND country IN ('DE', 'AT') AND (facts ->> 'club') = 1 AND (lot * {factor} + {offset}) % 2147483647 % 10000 < 5000
