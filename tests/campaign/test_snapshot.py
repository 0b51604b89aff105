"""Checks what a launch freezes of UTM parameters, and that a plan and a schedule know when they change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailshot.campaign import launch, plan, schedule_diff
from mailshot.campaign import snapshot as editions
from mailshot.campaign.launch import LaunchOptions
from mailshot.campaign.snapshot import Snapshot
from mailshot.errors import Refused
from mailshot.rulebook.rulebook import Rulebook
from mailshot.store.engine import Store
from tests.support import project
from tests.support.project import NOW, Shop

COMPANY = project.FILES["rules/company.yaml"]
SENDER = project.FILES["rules/senders.yaml"]
CAMPAIGN = project.CAMPAIGN.format(name="hello").replace(
    "content: [", "content: [{name: north, when: {country: 'NO'}, template: hello}, "
)
DAILY = 'schedule: {cron: "0 9 * * *"}\nrepeat: yes\n'
FILES = {
    "rules/company.yaml": COMPANY + "utm: {source: shop, medium: email}\n",
    "rules/senders.yaml": SENDER + "  utm: {source: '{sender}'}\n",
    "rules/campaigns/hello.yaml": CAMPAIGN + "utm: {content: '{content}'}\n",
}
#: Each adds, changes or removes a parameter.
CHANGES = {
    "rules/company.yaml": COMPANY + "utm: {source: shop, medium: mail}\n",
    "rules/senders.yaml": SENDER,
    "rules/campaigns/hello.yaml": CAMPAIGN + "utm: {content: '{content}', term: a}\n",
}
#: Each changes a text that a closer level replaces, or only how it is written.
UNRELATED = {
    "rules/company.yaml": COMPANY + "utm:\n  medium: 'email'\n  source: other  # the sender has its own\n",
    "rules/senders.yaml": SENDER + "  utm: {source: '{sender}', content: x}\n",
    "rules/campaigns/hello.yaml": CAMPAIGN + "utm: {content: '{content}', term: ''}\n",
}


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    return Shop.open(sqlite_store, tmp_path, 2, FILES)


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def edition(shop: Shop) -> Snapshot:
    return editions.take_snapshot(Rulebook.load(shop.folder), shop.folder, "hello")


def test_each_content_is_frozen_with_its_own_texts(shop: Shop) -> None:
    assert edition(shop).body["mailing"]["utm"] == {
        "north": {"source": "bay", "medium": "email", "content": "north"},
        "hello": {"source": "bay", "medium": "email", "content": "hello"},
    }


def test_without_them_the_frozen_settings_are_those_of_before(shop: Shop) -> None:
    for path, text in {"rules/company.yaml": COMPANY, "rules/senders.yaml": SENDER}.items():
        write(shop, path, text)
    write(shop, "rules/campaigns/hello.yaml", CAMPAIGN + "utm: {source: ''}\n")
    mailing = edition(shop).body["mailing"]
    assert "utm" not in mailing
    assert "utm" not in mailing["sender"]


@pytest.mark.parametrize("path", CHANGES)
def test_a_changed_parameter_makes_the_plan_not_current(shop: Shop, path: str) -> None:
    plan.make_plan(shop.store, edition(shop), NOW, NOW)
    write(shop, path, CHANGES[path])
    with pytest.raises(Refused, match=r"have changed since plan .*: UTM parameters\."):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW)


def test_removing_and_adding_all_of_them_is_named_beside_other_changes(shop: Shop) -> None:
    plan.make_plan(shop.store, edition(shop), NOW, NOW)
    for path, text in {"rules/company.yaml": COMPANY, "rules/senders.yaml": SENDER}.items():
        write(shop, path, text)
    write(shop, "rules/campaigns/hello.yaml", CAMPAIGN)
    write(shop, "templates/hello/subject.txt", "Another subject")
    with pytest.raises(Refused, match=r": template 'hello', UTM parameters\."):
        launch.launch_plan(shop.store, edition(shop), NOW, NOW)
    later = NOW + timedelta(minutes=1)
    plan.make_plan(shop.store, edition(shop), later, later)
    write(shop, "rules/company.yaml", FILES["rules/company.yaml"])
    with pytest.raises(Refused, match=r": UTM parameters\."):
        launch.launch_plan(shop.store, edition(shop), later, later)


@pytest.mark.parametrize("path", UNRELATED)
def test_a_text_without_effect_keeps_the_plan(shop: Shop, path: str) -> None:
    planned = plan.make_plan(shop.store, edition(shop), NOW, NOW)
    write(shop, path, UNRELATED[path])
    assert plan.make_plan(shop.store, edition(shop), NOW, NOW).id == planned.id
    assert launch.launch_plan(shop.store, edition(shop), NOW, NOW).mails == 2


def test_a_schedule_keeps_its_parameters_until_it_is_replaced(shop: Shop) -> None:
    write(shop, "rules/campaigns/hello.yaml", FILES["rules/campaigns/hello.yaml"] + DAILY)
    plan.make_plan(shop.store, edition(shop), NOW, NOW)
    launch.launch_plan(shop.store, edition(shop), NOW, NOW)
    write(shop, "rules/company.yaml", CHANGES["rules/company.yaml"])
    assert differs(shop) == ["UTM parameters"]
    plan.make_plan(shop.store, edition(shop), NOW, NOW)
    assert launch.launch_plan(shop.store, edition(shop), NOW, NOW, LaunchOptions(replace=True)).replaced
    assert differs(shop) == []


def differs(shop: Shop) -> list[str]:
    with shop.store.read() as connection:
        [item] = schedule_diff.compare_schedules(connection, shop.folder)
    return list(item.differs)
