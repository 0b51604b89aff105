"""A made-up shop of any size: customers, products and two years of purchases, as skewed as real ones.

DuckDB computes it from hashes, so it is the same on every machine, and keeps it in its own file. SQLite gets it in key
order through one prepared statement, PostgreSQL by COPY; both into Mailshot's own tables. There are no returns: the
hand-written SQL ignores them.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import psycopg

from mailshot.store import bulk, purchase_totals
from mailshot.store.column_types import microseconds
from mailshot.store.engine import Store
from tests.support import servers

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
LINES_A_CUSTOMER = 10
TABLES = {
    "product": "id, key, name, department, category, type, brand, size, price, url, known, facts",
    "customer": "id, key, email, address_hash, first_name, last_name, language, country, time_zone, lot, joined_at,"
    " facts",
    "purchase": 'customer_id, order_key, product_id, nth, "at", quantity, amount, channel',
    "consent": 'customer_id, topic, given, "at"',
    "preference": 'customer_id, name, value, holds, source, "at"',
    "trait": "customer_id, name, value, confidence, evidence, as_of",
}
MOMENTS = {"joined_at", '"at"', "as_of"}
DAY = 86_400_000_000

_MACROS = """
-- A number between 0 and 1 that depends on x and s alone, and one of the normal distribution.
CREATE MACRO chance(x, s) AS (hash(x::BIGINT * 64 + s) + 0.5) / 18446744073709551616.0;
CREATE MACRO whole(x, n) AS (hash(x::BIGINT) % n)::BIGINT;
CREATE MACRO normal(x, s) AS sqrt(-2 * ln(chance(x, s))) * cos(2 * pi() * chance(x, s + 1));
"""

# 8,000 products in 30 departments and about 300 categories; few of them make most of the sales.
_PRODUCTS = """
CREATE TABLE department AS SELECT * FROM (VALUES
  (0, 'GROCERY', 0.40, 90), (1, 'DRUG GM', 0.52, 40), (2, 'PRODUCE', 0.63, 25), (3, 'MEAT', 0.68, 12),
  (4, 'MEAT-PCKGD', 0.73, 10), (5, 'DELI', 0.77, 12), (6, 'DAIRY', 0.82, 14), (7, 'FROZEN GROCERY', 0.86, 14),
  (8, 'PASTRY', 0.88, 8), (9, 'SEAFOOD', 0.90, 5), (10, 'BABY', 0.915, 8), (11, 'PETS', 0.93, 8),
  (12, 'COSMETICS', 0.94, 6), (13, 'NUTRITION', 0.95, 6), (14, 'FLORAL', 0.957, 4), (15, 'SALAD BAR', 0.96, 2),
  (16, 'HOUSEWARES', 0.965, 5), (17, 'TOYS', 0.969, 4), (18, 'BOOKS', 0.973, 4), (19, 'SPIRITS', 0.977, 4),
  (20, 'WINE', 0.981, 4), (21, 'BEER', 0.985, 3), (22, 'GARDEN', 0.988, 4), (23, 'AUTOMOTIVE', 0.99, 2),
  (24, 'ELECTRONICS', 0.992, 3), (25, 'STATIONERY', 0.994, 3), (26, 'FUEL', 0.9955, 1), (27, 'TRAVEL', 0.997, 2),
  (28, 'CHARITY', 0.9985, 1), (29, 'RESTAURANT', 1.0, 2)) AS d(number, name, upto, categories);
CREATE TABLE product AS
  SELECT p AS id, 'P' || (1000000 + p * 37) AS key, d.name || ' ' || p AS name, d.name AS department,
    d.name || ' ' || (1 + floor(pow(chance(p, 2), 1.5) * d.categories))::INT AS category,
    'T' || (whole(p, 900)) AS type, CASE WHEN chance(p, 3) < 0.28 THEN 'Private' ELSE 'National' END AS brand,
    (1 + whole(p, 20)) || ' OZ' AS size, (5 + floor(exp(1.1 + 0.7 * normal(p, 4)) * 100))::BIGINT * 100 AS price,
    'https://shop.example/p/' || p AS url, true AS known,
    '{"manufacturer":"' || (whole(p, 700)) || '","organic":' || (chance(p, 6) < 0.1) || '}' AS facts
  FROM range(1, 8001) AS r(p) JOIN department d
    ON d.number = (SELECT min(number) FROM department WHERE upto > chance(p, 1));
"""

# One in eight has never bought. The others' number of trips has a long tail, and nearly half have stopped coming.
_CUSTOMERS = """
CREATE TABLE person AS
  SELECT c AS id, chance(c, 1) < 0.125 AS prospect, chance(c, 2) < 0.06 AS meatless, chance(c, 3) < 0.10 AS family,
    1 + floor(least(exp(-0.67 + 1.6 * normal(c, 4)), 400) * $scale)::INT AS trips,
    exp(0.4 * normal(c, 6) - 0.08) AS basket,
    CASE WHEN chance(c, 8) < 0.4 THEN 0 ELSE chance(c, 9) * 725 END AS begins,
    CASE WHEN chance(c, 10) < 0.45 THEN chance(c, 11) ELSE 1 END AS stays
  FROM range(1, $customers + 1) AS r(c);
CREATE TABLE customer AS
  SELECT id, 'household-' || (id * 7 % 10000000)::VARCHAR || '-' || id AS key, 'household-' || id || '@example.com'
      AS email, md5(id::VARCHAR) AS address_hash, ['Ada', 'Ben', 'Cem', 'Dora', 'Eva', 'Finn'][1 + whole(id, 6)]
      AS first_name, ['Moe', 'Noll', 'Oz', 'Pauls', 'Quist'][1 + whole(id + 1, 5)] AS last_name,
    ['de', 'en', 'fr'][1 + whole(id + 2, 3)] AS language,
    CASE WHEN chance(id, 20) < 0.55 THEN 'DE' WHEN chance(id, 20) < 0.7 THEN 'AT' WHEN chance(id, 20) < 0.82 THEN 'CH'
      WHEN chance(id, 20) < 0.92 THEN 'FR' ELSE 'NO' END AS country, 'Europe/Berlin' AS time_zone,
    whole(id + 3, 2147483647) AS lot,
    $first + ((begins - chance(id, 21) * 400) * $day)::BIGINT AS joined_at,
    '{"segment":"' || ['basic', 'silver', 'gold', 'basic'][1 + whole(id + 4, 4)] || '","children":'
      || whole(id + 5, 4) || ',"club":' || (chance(id, 22) < 0.3) || '}' AS facts
  FROM person ORDER BY id;
CREATE TABLE consent AS
  SELECT id AS customer_id, topic, chance(id, 24 + nth) > 0.12 AS given, $first + (begins * $day)::BIGINT AS "at"
  FROM person, (VALUES ('offers', 0.65, 0), ('recipes', 0.2, 1)) AS t(topic, asked, nth)
  WHERE chance(id, 26 + nth) < asked ORDER BY ALL;
CREATE TABLE preference AS
  SELECT id AS customer_id, 'diet' AS name, CASE WHEN meatless THEN 'vegetarian' ELSE 'everything' END AS value,
    chance(id, 29) > 0.1 AS holds, 'page' AS source, $first + (begins * $day)::BIGINT AS "at"
  FROM person WHERE chance(id, 28) < 0.03 ORDER BY ALL;
"""

_PURCHASES = """
CREATE TABLE trip AS
  SELECT id AS customer_id, meatless, family, t, id * 512 + t AS seed,
    $first + ((begins + (725 - begins) * stays * chance(id * 512 + t, 1)) * $day)::BIGINT
      + whole(seed, 50000) * 1000000 AS "at",
    1 + floor(-ln(chance(seed, 2)) * 3.5 * basket)::INT AS lines,
    CASE WHEN chance(seed, 3) < 0.2 THEN 'online' ELSE 'store' END AS channel
  FROM person, range(1, 401) AS r(t) WHERE t <= trips AND NOT prospect;
CREATE TABLE ordered AS
  SELECT *, (31000000000 + row_number() OVER (ORDER BY "at", seed))::VARCHAR AS order_key FROM trip;
CREATE TABLE line AS
  SELECT customer_id, meatless, family, order_key, "at", channel, seed * 128 + n AS seed,
    1 + (floor(8000 * pow(chance(seed * 128 + n, 1), 2.2))::BIGINT * 3137 + 11) % 8000 AS product_id
  FROM ordered, range(1, 61) AS r(n) WHERE n <= lines;
CREATE TABLE purchase AS
  SELECT customer_id, order_key, product_id, row_number() OVER same AS nth, "at", quantity * 10000 AS quantity,
    (price * quantity * (CASE WHEN chance(seed, 5) < 0.2 THEN 0.8 ELSE 1 END))::BIGINT // 100 * 100 AS amount, channel
  FROM (
    SELECT line.*, product.price, CASE WHEN chance(line.seed, 3) < 0.8 THEN 1 ELSE 2 + whole(line.seed, 3) END
      AS quantity
    FROM line JOIN product ON product.id = product_id
    WHERE NOT (meatless AND department IN ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'DELI'))
      AND (family OR department <> 'BABY' OR chance(line.seed, 4) < 0.03))
  WINDOW same AS (PARTITION BY customer_id, order_key, product_id ORDER BY seed)
  ORDER BY customer_id, order_key, product_id, nth;
CREATE TABLE trait AS
  SELECT customer_id, 'favourite_department' AS name, department AS value, 0.5 + 0.5 * chance(customer_id, 30)
      AS confidence, '{"words":"bought more than others"}' AS evidence, $last AS as_of
  FROM (SELECT customer_id, department, count(*) AS lines FROM purchase JOIN product ON product.id = product_id
    GROUP BY ALL) WHERE lines >= 4
  UNION ALL
  SELECT id, 'diet', 'vegetarian', 0.5 + 0.5 * chance(id, 31), '{"words":"no meat"}', $last
  FROM person WHERE meatless AND NOT prospect
  ORDER BY ALL;
DROP TABLE line; DROP TABLE ordered; DROP TABLE trip; DROP TABLE person; DROP TABLE department;
"""


def duck(path: Path, customers: int) -> Path:
    """Make the shop with so many customers in a DuckDB file, unless it is there."""
    if path.exists():
        return path
    made = path.with_suffix(".making")
    made.unlink(missing_ok=True)
    first = microseconds(AS_OF) - 730 * DAY
    # The tail is cut at 400 trips, and some lines are dropped again: so much more makes ten lines a customer.
    numbers = {"customers": customers, "scale": 1.25, "first": first, "last": microseconds(AS_OF), "day": DAY}
    with duckdb.connect(str(made)) as connection:
        connection.execute("SET preserve_insertion_order = true")
        for statement in (_MACROS + _PRODUCTS + _CUSTOMERS + _PURCHASES).split(";\n"):
            wanted = {name: value for name, value in numbers.items() if f"${name}" in statement}
            if statement.strip():
                connection.execute(statement, wanted)
    made.rename(path)
    return path


def sqlite(path: Path, shop: Path) -> Path:
    """Put the shop into a SQLite file with Mailshot's tables, unless it is there."""
    if path.exists():
        return path
    made = path.with_suffix(".making")
    made.unlink(missing_ok=True)
    servers.upgraded(f"sqlite:///{made}")
    source = duckdb.connect(str(shop), read_only=True)
    target = sqlite3.connect(made, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144"):
        target.execute(f"PRAGMA {pragma}")
    target.execute("BEGIN")
    for table, columns in TABLES.items():
        rows = source.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")
        marks = ", ".join("?" * len(columns.split(", ")))
        while some := rows.fetchmany(100_000):
            target.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", some)
    target.execute("COMMIT")
    target.execute("PRAGMA journal_mode=WAL")
    target.close()
    source.close()
    sum_up(f"sqlite:///{made}")
    # Closed before the file is renamed: a connection would go on with a log of the old name.
    with closing(sqlite3.connect(made)) as measured:
        sizes = measured.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC LIMIT 8")
        print("  " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes))
    made.rename(path)
    return path


def postgres(url: str, shop: Path, folder: Path) -> None:
    """Put the shop into a new PostgreSQL database with Mailshot's tables."""
    servers.upgraded(url)
    text = folder / "copy.csv"
    with psycopg.connect(url, autocommit=True) as target, duckdb.connect(str(shop), read_only=True) as source:
        for table, columns in TABLES.items():
            names = [name.strip() for name in columns.split(",")]
            shown = [f"make_timestamp({name}) || '+00' AS {name}" if name in MOMENTS else name for name in names]
            source.execute(f"COPY (SELECT {', '.join(shown)} FROM {table} ORDER BY rowid) TO '{text}' (HEADER false)")
            with (
                text.open("rb") as file,
                target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy,
            ):
                while block := file.read(1 << 18):
                    copy.write(block)
        text.unlink()
    sum_up(url)
    with psycopg.connect(url, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")
        wanted = (
            "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'i') ORDER BY 2 DESC LIMIT 8"
        )
        print("  " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in target.execute(wanted)))


def sum_up(url: str) -> None:
    """Make the sums that rules look at first, and print what they cost."""
    store = Store.open(url)
    begun = time.perf_counter()
    with store.write() as connection:
        purchase_totals.refresh(connection)
        purchase_totals.count_product_lines(connection)
    print(f"  sums of orders and buyers, lines of products: {time.perf_counter() - begun:.1f} s")
    bulk.analyse(store)
    store.close()
