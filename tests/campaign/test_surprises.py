"""Checks what could surprise a marketer: an outdated plan, unknown facts, names that no product has."""

from __future__ import annotations

import email
import re
from pathlib import Path

import pytest

from mailshot.campaign import launch, lint, plan, preview, snapshot
from mailshot.errors import Refused
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import dialect, runs, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import project
from tests.support.campaigns import NOW, WEEK, add, buy, edition, open_shop, planned, write
from tests.support.project import Shop

KEYS = KeyRing({1: b"k" * 32})


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return open_shop(store, tmp_path / "shop", WEEK)


def test_a_launch_of_far_more_mails_than_planned_is_refused(shop: Shop) -> None:
    made = planned(shop)
    assert made.mails == 0
    for number in range(20):
        add(shop, f"late{number}", country="NO")
    with pytest.raises(Refused, match=r"showed 0 mails; by now it would be 20"):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW, made.id)
    with shop.store.read() as connection:
        assert runs.runs_of(connection, "week") == [], "nothing is begun"
    assert planned(shop).mails == 20
    assert launch.launch_plan(shop.store, edition(shop), NOW, NOW).mails == 20


def test_a_few_more_or_fewer_are_launched(shop: Shop) -> None:
    for number in range(20):
        add(shop, f"early{number}", country="NO")
    planned(shop)
    add(shop, "late", country="NO")
    assert launch.launch_plan(shop.store, edition(shop), NOW, NOW).mails == 21


def test_an_unknown_fact_of_the_shop_prints_nothing(shop: Shop) -> None:
    write(shop, "rules/facts.yaml", "customer: {tier: {type: text}}\nproduct: {season: {type: text}}\n")
    hello = (shop.folder / "templates/hello/body.html").read_text(encoding="utf-8")
    tier = "[{% if customer.tier %}{{ customer.tier }}{% else %}no tier{% endif %}]"
    with_facts = hello.replace(
        "</body>", f"<p>{tier}{{% for offer in offers %}}({{{{ offer.season }}}}){{% endfor %}}</p></body>"
    )
    write(shop, "templates/hello/body.html", with_facts)
    buy(shop.store, add(shop, "plain", country="SE"), {1: 1})
    add(shop, "golden", country="NO", facts={"tier": "gold"})
    assert planned(shop).errors == ()

    def read(customer: str) -> str:
        return preview.write_preview(shop.store, edition(shop), customer, KEYS, "http://127.0.0.1", NOW).rendered.html

    assert "[no tier]()" in read("plain")
    assert "[gold]" in read("golden")


def test_names_that_no_product_has_are_reported_with_the_nearest(shop: Shop) -> None:
    rule = "audience: typo\nwho: {never_bought: {department: Meat, within: 90 days}}\n"
    write(shop, "rules/audiences/typo.yaml", rule)
    with shop.store.read() as connection:
        (warning,) = lint.unknown_values(connection, Rulebook.load(shop.folder))
    assert warning == "rules/audiences/typo.yaml:2: no product has the department 'Meat'. Did you mean 'MEAT'?"


def test_campaigns_topics_and_countries_that_do_not_exist_are_reported(shop: Shop) -> None:
    buy(shop.store, add(shop, "plain", country="SE"), {1: 1})
    rule = (
        "audience: typo\nwho:\n  never_received: {campaign: helo}\n  not: {opened: {topic: ofers}}\n"
        "  country: [Sweden, SE]\n  contacted: {kind: cal}\n"
    )
    write(shop, "rules/audiences/typo.yaml", rule)
    with shop.store.read() as connection:
        warnings = [
            warning for warning in lint.unknown_values(connection, Rulebook.load(shop.folder)) if "typo.yaml" in warning
        ]
    assert [warning.split(": ", 1)[1].split("'. ")[0] for warning in warnings] == [
        "no 'received' has the campaign 'helo",
        "no 'opened' has the topic 'ofers",
        "no customer has the country 'Sweden",
    ]
    assert "typo.yaml:3: " in warnings[0]
    assert "Did you mean 'offers'?" in warnings[1]


def test_a_trait_with_a_value_for_every_department_accepts_any_value(shop: Shop) -> None:
    (shop.folder / "rules/traits").mkdir(exist_ok=True)
    write(shop, "rules/traits/likes.yaml", "trait: likes\neach: department\n")
    write(shop, "rules/audiences/likers.yaml", "audience: likers\nwho: {trait: {likes: GREEN}}\n")
    assert Rulebook.load(shop.folder).check() == []


def test_names_outside_ascii_are_planned_and_written(store: Store, tmp_path: Path) -> None:
    """Campaign, content, topic and the sender's domain stand in headers, which are ASCII."""
    sender = project.FILES["rules/senders.yaml"].replace("hello@bay.example.com", "hello@bücher.example.com")
    shop = Shop.open(store, tmp_path / "shop", 1, {
        "rules/senders.yaml": sender, "rules/topics.yaml": "offers: {title: Offers}\nkäse: {title: Käse}\n",
        "rules/audiences/everyone.yaml": "audience: everyone\nwho: {everyone: yes}\n",
    })  # fmt: skip
    text = project.CAMPAIGN.format(name="käse woche").replace("{name: hello,", "{name: käse laib,")
    path = shop.folder / "rules" / "campaigns" / "kaese.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("topic: offers", "topic: käse"), encoding="utf-8")
    with store.write() as connection:
        row = {"customer_id": shop.customers[0], "topic": "käse", "given": True, "at": project.NOW}
        connection.execute(dialect.table(tables.Consent).insert(), row)
    campaign = snapshot.take_snapshot(Rulebook.load(shop.folder), shop.folder, "käse woche")
    made = plan.make_plan(store, campaign, project.NOW, project.NOW)
    assert (made.mails, made.errors) == (1, ())
    letter = preview.write_preview(
        store, campaign, "c1", KeyRing.parse(project.KEYS), "https://bay.example", project.NOW
    )
    message = email.message_from_bytes(letter.data(eight_bit=False))
    assert re.fullmatch(r"0:kase-[0-9a-f]+:kase-laib-[0-9a-f]+:bayshop", message["Feedback-ID"])
    assert re.search(r"<kase-[0-9a-f]+\.xn--bcher-kva\.example\.com>", message["List-Id"])
