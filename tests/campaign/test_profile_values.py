"""Mails name answers, traits, consents, the lifecycle and the last order; each means what it means in a rule."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mailshot import documents
from mailshot.audience.evaluate import Evaluator
from mailshot.bootstrap import App
from mailshot.campaign import dependencies, plan, preview, profile_values
from mailshot.campaign.snapshot import Snapshot
from mailshot.deliver import pipeline
from mailshot.errors import InvalidInput
from mailshot.profile.lifecycle import Stage
from mailshot.render import compose
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store import consent, dialect, profiles, purchase_totals, tables
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing
from tests.support import campaigns, project
from tests.support.processes import Sink
from tests.support.project import NOW, Shop

RULES = {
    "rules/topics.yaml": "offers: {title: Offers}\nrecipes: {title: Recipes}\n"
    "service: {title: Your orders, requires_consent: no}\n",
    "rules/preferences.yaml": """
diet:
  title: What do you eat?
  values:
    everything: Everything
    no_pork: No pork
    vegetarian: {label: Vegetarian, implies: no_pork}
    vegan: {label: Vegan, implies: vegetarian}
""",
    "rules/traits/diet.yaml": """
trait: diet
among: {department: [GREEN, MEAT]}
values: {vegetarian: {never: {department: MEAT}}}
""",
    "rules/traits/favourite.yaml": "trait: favourite_department\neach: department\n",
    "rules/facts.yaml": "product: {harvest: {type: date}}\n",
}
BODY = """<p>{% if preference.diet.vegetarian %}Tofu{% else %}Steak{% endif %}</p>
<p>{{ trait.favourite_department|titlecase }}, {{ customer.lifecycle }}, {{ last_order.at|date('d MMMM y') }},
{{ last_order.amount|money }}: {% for product in last_order.products %}[{{ product.name }} {{ product.harvest }}]
{%- endfor %}</p>
<p>{% if not consent.recipes %}Subscribe to our recipes{% endif %}</p>
<p><a href="{{ links.unsubscribe }}">Unsubscribe</a>, {{ sender.postal_address }}</p>
"""
DIETS = ("everything", "no_pork", "vegetarian", "vegan")
KEYS = KeyRing.parse(project.KEYS)


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    opened = campaigns.open_shop(store, tmp_path, project.CAMPAIGN.format(name="week"))
    (opened.folder / "rules/traits").mkdir()
    for path, text in RULES.items():
        campaigns.write(opened, path, text)
    campaigns.write(opened, "templates/hello/body.html", BODY)
    return opened


def infer(shop: Shop, customer: int, name: str, value: str, confidence: float) -> None:
    row = {"customer_id": customer, "name": name, "value": value, "confidence": confidence, "as_of": NOW}
    campaigns.insert(shop.store, tables.Trait, [row | {"evidence": {}}])


def values(shop: Shop, customer: int, *used: str, as_of: datetime = NOW) -> dict[str, Any]:
    with shop.store.read() as connection:
        rulebook = Rulebook.load(shop.folder)
        return profile_values.load(connection, rulebook, used, [customer], as_of)[customer]


def text_of(shop: Shop, key: str, read: Snapshot | None = None) -> str:
    read = read or campaigns.edition(shop)
    plan.make_plan(shop.store, read, NOW, NOW)
    return preview.write_preview(shop.store, read, key, KEYS, "https://x.example", NOW).rendered.text


def test_a_vegan_is_a_vegetarian_and_an_answer_overrides_what_was_inferred(shop: Shop) -> None:
    vegan, silent, eater, denier = (campaigns.add(shop, key) for key in "abcd")
    campaigns.state(shop.store, vegan, "vegan")
    for customer in (silent, eater, denier):
        infer(shop, customer, "diet", "vegetarian", 0.97)
    campaigns.state(shop.store, eater, "everything")
    campaigns.state(shop.store, denier, "vegetarian", holds=False)
    loaded = {who: values(shop, who, "preference.diet.vegan", "trait.diet.vegan") for who in (vegan, silent, eater)}
    assert loaded[vegan]["preference"]["diet"] == {
        "everything": None, "no_pork": True, "vegetarian": True, "vegan": True,
    }  # fmt: skip
    assert loaded[vegan]["trait"]["diet"]["vegetarian"] is True
    assert loaded[silent]["trait"]["diet"] == {"everything": False, "no_pork": True, "vegetarian": True, "vegan": False}
    assert loaded[silent]["preference"]["diet"]["vegetarian"] is None
    assert loaded[eater]["trait"]["diet"]["vegetarian"] is False
    assert values(shop, denier, "preference.diet.vegan")["preference"]["diet"]["vegan"] is False
    assert "Tofu" in text_of(shop, "a")
    assert "Steak" in text_of(shop, "b"), "only answers count here"


def test_a_mail_shows_the_last_order_the_stage_and_the_favourite(shop: Shop) -> None:
    buyer, prospect = campaigns.add(shop, "a"), campaigns.add(shop, "b")
    product = dialect.table(tables.Product)
    with shop.store.write() as connection:
        connection.execute(product.update().where(product.c.id == 1).values(facts={"harvest": "2026-05-20"}))
    campaigns.buy(shop.store, buyer, {1: 1, 2: 1}, NOW - timedelta(days=3))
    infer(shop, buyer, "favourite_department", "GREEN", 0.9)
    infer(shop, buyer, "favourite_department", "MEAT", 0.95)
    infer(shop, prospect, "favourite_department", "MEAT", 0.6)
    mail = " ".join(text_of(shop, "a").split())
    assert "Meat, new, 29 May 2026, $2.50: [Product 2 ]" in mail, (
        "of two orders at one moment, that with the higher key"
    )
    assert "Subscribe to our recipes" in mail
    mail = " ".join(text_of(shop, "b").split())
    assert ", prospect, , :" in mail


def test_a_returned_order_is_not_the_last_one(shop: Shop) -> None:
    customer = campaigns.add(shop, "a")
    campaigns.buy(shop.store, customer, {1: 1}, NOW - timedelta(days=50))
    campaigns.buy(shop.store, customer, {4: 1}, NOW - timedelta(days=3))
    back = {
        "customer_id": customer, "order_key": "4-0", "product_id": 4, "nth": -1, "at": NOW - timedelta(days=1),
        "quantity": Decimal(-1), "amount": Decimal("-2.50"),
    }  # fmt: skip
    campaigns.insert(shop.store, tables.Purchase, [back])
    with shop.store.write() as connection:
        purchase_totals.refresh(connection)
    loaded = values(shop, customer, "last_order.at", "customer.lifecycle")
    assert loaded["last_order"]["at"] == NOW - timedelta(days=50)
    assert loaded["customer"] == {"lifecycle": "lapsing"}
    before = values(shop, customer, "last_order.at", as_of=NOW - timedelta(days=2))
    assert [item["key"] for item in before["last_order"]["products"]] == ["P4"]


def test_orders_after_the_date_of_the_run_do_not_count(shop: Shop) -> None:
    customer = campaigns.add(shop, "a")
    campaigns.buy(shop.store, customer, {1: 1}, NOW + timedelta(hours=1))
    assert "last_order" not in values(shop, customer, "last_order.at")
    assert values(shop, customer, "customer.lifecycle") == {"customer": {"lifecycle": "prospect"}}


def test_a_consent_is_that_of_the_inbox(shop: Shop) -> None:
    both = project.person("x", "both@mail.example")
    shared = {"email": both["email"], "address_hash": both["address_hash"]}
    first, second = campaigns.add(shop, "a", **shared), campaigns.add(shop, "b", **shared)
    with shop.store.write() as connection:
        consent.record_consent(connection, first, "recipes", True, NOW, "test")
    assert values(shop, first, "consent.recipes")["consent"] == {
        "offers": True, "recipes": True, "service": True, "tracking": False,
    }  # fmt: skip
    with shop.store.write() as connection:
        consent.record_consent(connection, second, "recipes", False, NOW, "test")
        consent.record_consent(connection, second, "service", False, NOW, "test")
    loaded = values(shop, first, "consent.recipes")["consent"]
    assert (loaded["recipes"], loaded["service"]) == (False, False)


def test_names_mean_the_same_as_in_rules(shop: Shop) -> None:
    draw, rulebook = random.Random(7), Rulebook.load(shop.folder)
    customers = [campaigns.add(shop, f"r{number}") for number in range(60)]
    for customer in customers:
        for value in draw.sample(DIETS, draw.randint(0, 2)):
            campaigns.state(shop.store, customer, value, draw.random() < 0.6)
        for value in draw.sample(DIETS, draw.randint(0, 2)):
            infer(shop, customer, "diet", value, draw.choice([0.3, 0.7999, 0.8, 0.9]))
        if draw.random() < 0.7:
            campaigns.buy(shop.store, customer, {1: 1}, NOW - timedelta(days=draw.randint(0, 120), minutes=1))
    used = ("preference.diet.vegan", "trait.diet.vegan", "customer.lifecycle")
    with shop.store.read() as connection:
        loaded = profile_values.load(connection, rulebook, used, customers, NOW)
        for customer in customers:
            judge = Evaluator(profiles.profile(connection, customer), NOW, rulebook.company.time_zone)
            for value in DIETS:
                for word in ("preference", "trait"):
                    rule = _rule(rulebook, f"{word}: {{diet: {value}}}")
                    assert bool(loaded[customer][word]["diet"][value]) is judge.verdict(rule).holds, (customer, value)
            stages = [stage for stage in Stage if judge.verdict(_rule(rulebook, f"lifecycle: {stage}")).holds]
            assert [loaded[customer]["customer"]["lifecycle"]] == stages


def _rule(rulebook: Rulebook, text: str) -> Any:
    document = documents.parse_document(text, "rule.yaml")
    problems = document.problems()
    rule = rulebook.book.condition(document.root, problems, "rule")
    problems.raise_if_any()
    return rule


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{% if preference.diet == 'vegan' %}x{% endif %}", "'preference.diet' has no value of its own"),
        ("{% if preference['diet'] == 'vegan' %}x{% endif %}", "'preference.diet' has no value of its own"),
        ("{% set diet = preference.diet %}{% if diet == 'vegan' %}x{% endif %}", "'preference.diet' has no value of"),
        ("{{ preference.diet }}", "'preference.diet' has no value of its own"),
        ("{{ preference.diet.vegen }}", "Unknown fact 'preference.diet.vegen'. Did you mean 'vegan'?"),
        ("{{ preference.diett.vegan }}", "Unknown fact 'preference.diett'. Did you mean 'diet'?"),
        ("{{ consent.recipe }}", "Unknown fact 'consent.recipe'. Did you mean 'recipes'?"),
        ("{% if consent %}x{% endif %}", "'consent' has no value of its own"),
        ("{% if last_order %}x{% endif %}", "'last_order' has no value of its own"),
        ("{{ last_order.products.name }}", "'last_order.products' is a list."),
        ("{% for p in last_order.products %}{{ p.nam }}{% endfor %}", "Unknown fact 'p.nam'. Did you mean 'name'?"),
        ("{{ preference.diet|length }}", "'preference.diet' has no value of its own"),
    ],
)
def test_a_wrong_name_is_an_error_with_its_remedy(shop: Shop, written: str, message: str) -> None:
    campaigns.write(shop, "templates/hello/body.html", written + BODY)
    with pytest.raises(InvalidInput) as refused:
        campaigns.edition(shop).mailing()
    texts = [" ".join(filter(None, (problem.message, problem.remedy))) for problem in refused.value.problems]
    assert any(message in text for text in texts), texts
    assert "body.html:1" in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        "{% set diet = preference.diet %}{{ diet.vegan }}",
        "{{ preference['diet']['vegan'] }}",
        "{% for product in last_order.products[:2] %}{{ product.name }}{% else %}none{% endfor %}",
        "{{ last_order.products|length }} {% if last_order.products %}x{% endif %}",
        "{{ last_order.products[0].name if last_order.products }}",
        "{% with order = last_order %}{{ order.amount|money }}{% endwith %}",
        "{{ last_order.products|sum(attribute='price') }}",
    ],
)
def test_ways_to_name_them(shop: Shop, written: str) -> None:
    campaigns.write(shop, "templates/hello/body.html", written + BODY)
    campaigns.add(shop, "a")
    text_of(shop, "a")


def test_a_changed_meaning_makes_the_plan_out_of_date(shop: Shop) -> None:
    before = dependencies.part_digests(campaigns.edition(shop))
    text = RULES["rules/preferences.yaml"].replace("implies: vegetarian", "implies: [vegetarian]")
    campaigns.write(shop, "rules/preferences.yaml", text + "size: {title: Size, values: {s: S}}\n")
    assert dependencies.part_digests(campaigns.edition(shop)) == before
    campaigns.write(shop, "rules/preferences.yaml", text.replace(", implies: [vegetarian]", ""))
    assert dependencies.differences(before, dependencies.part_digests(campaigns.edition(shop))) == ["preference 'diet'"]


def test_an_answer_after_the_launch_is_in_the_mail(shop: Shop, sink: Sink, app: Callable[..., App]) -> None:
    turned, stays = campaigns.add(shop, "a"), campaigns.add(shop, "b")
    run_id = shop.launch(campaigns.edition(shop), datetime.now(UTC))
    campaigns.state(shop.store, turned, "vegan")
    campaigns.write(shop, "rules/preferences.yaml", "diet: {title: Diet, values: {meat: Meat}}\n")
    pipeline.send_batch(app().send_settings, run_id, 1000, threading.Event())
    mails = {entry["rcpt"]: entry["data"] for entry in sink.entries()}
    assert "Tofu" in mails["a@mail.example"]
    assert "Steak" in mails["b@mail.example"]
    assert stays != turned


def test_the_public_copy_knows_nothing_of_a_customer(shop: Shop) -> None:
    subject, page = compose.public_copy(campaigns.edition(shop).mailing(), "hello", (), NOW)
    assert subject
    assert "Steak" in page
