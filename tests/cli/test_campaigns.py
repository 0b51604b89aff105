"""Checks what the commands say over the life of a campaign: launch, status, cancel, report; on both databases."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mailshot.__main__ import run_command
from mailshot.campaign import schedules
from mailshot.cli import output
from mailshot.cli.main import cli
from mailshot.deliver import smtp
from mailshot.store import dialect, runs, tables
from mailshot.store.engine import Store
from tests.support import project
from tests.support.project import Shop

INVALID, MISSING, REFUSED = 3, 4, 5
HELLO = "rules/campaigns/hello.yaml"
BODY = "templates/hello/body.html"
DELIVERY, RUN = dialect.table(tables.Delivery), dialect.table(tables.Run)


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop.open(store, tmp_path, 3)
    made.campaign()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(smtp, "check_server", lambda server: None)
    return made


def mailshot(*arguments: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; return its exit code and all it printed."""
    printed, kept = io.StringIO(), (output.out, output.err)
    output.out, output.err = Console(file=printed, width=80, highlight=False), Console(file=printed, width=80)
    try:
        result = CliRunner().invoke(cli, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raised = result.exception

            def fail() -> None:
                raise raised

            with pytest.raises(SystemExit) as ended:
                run_command(fail)
            return int(str(ended.value.code)), printed.getvalue()
    finally:
        output.out, output.err = kept
    return result.exit_code, printed.getvalue() + result.output


def flat(text: str) -> str:
    return " ".join(text.split())


def write(shop: Shop, path: str, text: str) -> None:
    (shop.folder / path).write_text(text, encoding="utf-8")


def settle(shop: Shop, state: str = "sent") -> None:
    with shop.store.write() as connection:
        now = datetime.now(UTC)
        connection.execute(DELIVERY.update().where(DELIVERY.c.state == "pending").values(state=state, settled_at=now))
        connection.execute(RUN.update().where(RUN.c.state == "running").values(state="finished", finished_at=now))


def test_a_launch_of_no_mails_is_refused_with_the_reasons(shop: Shop) -> None:
    assert mailshot("plan", "hello")[0] == 0
    assert mailshot("launch", "hello")[0] == 0
    settle(shop)
    assert mailshot("plan", "hello")[0] == 0
    code, printed = mailshot("launch", "hello")
    assert code == REFUSED
    assert "No customer would get a mail of 'hello': 3 already received." in flat(printed)
    assert "--even-if-empty" in printed
    assert mailshot("launch", "hello", "--even-if-empty")[0] == 0
    settle(shop)
    code, printed = mailshot("report", "hello")
    assert code == 0
    assert "Run 1 of 'hello'" in printed
    with shop.store.read() as connection:
        newest, oldest = (str(run.id) for run in runs.runs_of(connection, "hello"))
    assert [line.split()[0] for line in printed.splitlines() if line.split()[1:2] == ["hello"]] == [oldest, newest]
    assert f"Run {newest} of 'hello'" in mailshot("report", "hello", "--run", newest)[1]
    assert json.loads(mailshot("report", "hello", "--json")[1])["run_id"] == 1
    assert len(json.loads(mailshot("report", "hello", "--json")[1])["runs"]) == 2
    code, printed = mailshot("report", "hello", "--run", "77")
    assert code == MISSING
    assert f"There is no run 77 of 'hello'. Known: {oldest}, {newest}." in flat(printed)


def test_a_slot_without_a_mail_does_not_hide_the_report(shop: Shop) -> None:
    shop.campaign(more='schedule: {cron: "0 9 * * *"}\nrepeat: no\n')
    mailshot("plan", "hello")
    assert mailshot("launch", "hello")[0] == 0
    for _ in range(3):
        with shop.store.read() as connection:
            [schedule] = runs.schedules(connection)
        assert len(schedules.launch_due(shop.store, schedule.next_at)) == 1
        settle(shop)
    with shop.store.read() as connection:
        assert len(connection.execute(RUN.select()).all()) == 3
    assert "Run 1 of 'hello'" in mailshot("report", "hello")[1]


def test_status_says_scheduled_and_what_differs(shop: Shop) -> None:
    shop.campaign(more='schedule: {cron: "0 9 * * MON"}\nrepeat: yes\n')
    mailshot("plan", "hello")
    assert mailshot("launch", "hello")[0] == 0
    assert "armed" not in mailshot("status")[1] + mailshot("status", "--json")[1]
    write(shop, "templates/hello/subject.txt", "News")
    for arguments in (("status",), ("plan", "hello"), ("rules", "check")):
        code, printed = mailshot(*arguments)
        assert code == 0
        assert "cheduled with the version of" in flat(printed)
        assert "the files differ now: template 'hello'" in flat(printed)
        assert "launch 'hello' --replace" in flat(printed)
        assert "UTC" not in printed
    [item] = json.loads(mailshot("status", "--json")[1])["schedules"]
    assert (item["state"], item["differs"]) == ("scheduled", ["template 'hello'"])
    assert any("differ now" in item["message"] for item in json.loads(mailshot("rules", "check", "--json")[1]))
    assert mailshot("launch", "hello", "--replace")[0] == 0
    assert "nothing changed" in flat(mailshot("launch", "hello", "--replace")[1])
    (shop.folder / HELLO).unlink()
    assert "the campaign's file is gone" in flat(mailshot("status")[1])
    assert "the campaign's file is gone" in flat(mailshot("rules", "check")[1])
    assert mailshot("cancel", "hello")[0] == 0


def test_cancelled_runs_are_shown_so_at_once(shop: Shop) -> None:
    mailshot("plan", "hello")
    mailshot("launch", "hello")
    with shop.store.write() as connection:
        claimed = DELIVERY.update().where(DELIVERY.c.customer_id == shop.customers[0])
        lease = datetime.now(UTC) + timedelta(minutes=5)
        connection.execute(claimed.values(state="claimed", token=1, lease_until=lease))
    code, printed = mailshot("cancel", "hello")
    assert (code, "run 1; 2 unsent mails skipped" in printed, "1 mail still in progress" in printed) == (0, True, True)
    printed = mailshot("status")[1]
    assert "Run 1 is cancelled; 1 of its mails are still in progress" in flat(printed)
    assert next(line for line in printed.splitlines() if "hello" in line).split()[:5] == [
        "1",
        "hello",
        "cancelled",
        "0",
        "0",
    ]
    with shop.store.write() as connection:
        connection.execute(DELIVERY.update().where(DELIVERY.c.state == "claimed").values(state="pending"))
    line = next(line for line in mailshot("status")[1].splitlines() if "cancelled" in line)
    assert line.split()[:5] == ["1", "hello", "cancelled", "0", "0"]


def test_status_leaves_out_what_was_over_long_ago(shop: Shop) -> None:
    mailshot("plan", "hello")
    mailshot("launch", "hello")
    settle(shop)
    assert "finished" in mailshot("status")[1]
    with shop.store.write() as connection:
        connection.execute(RUN.update().values(finished_at=datetime.now(UTC) - timedelta(days=8)))
    printed = mailshot("status")[1]
    assert "finished" not in printed
    assert "1 older runs are not shown: mailshot status --all" in printed
    assert "finished" in mailshot("status", "--all")[1]


@pytest.mark.parametrize("command", ["pause", "resume", "cancel", "report", "plan", "launch", "preview"])
def test_a_misspelt_campaign_gets_a_suggestion(shop: Shop, command: str) -> None:
    code, printed = mailshot(command, "helo")
    assert (code, "Did you mean 'hello'?" in printed) == (MISSING, True)


def test_a_misspelt_campaign_of_a_past_run_gets_a_suggestion(shop: Shop) -> None:
    mailshot("plan", "hello")
    mailshot("launch", "hello")
    code, printed = mailshot("rules", "explain", "helo", "c1", "--run", "1")
    assert (code, "Did you mean 'hello'?" in printed) == (MISSING, True)
    assert mailshot("resolve", "9", "accept")[0] == MISSING


@pytest.mark.parametrize(
    "address", ["not an address", "", "a@", "@b.example", "a@b", "Ann <a@b.example>", "ø@x.example"]
)
def test_a_test_mail_to_no_address_is_refused(shop: Shop, address: str) -> None:
    mailshot("plan", "hello")
    code, printed = mailshot("send-test", "hello", address)
    assert code == INVALID
    assert "Traceback" not in printed
    assert address in printed


UNSUBSCRIBE = '<a href="{{ links.unsubscribe }}">Unsubscribe</a>'
POSTAL = "{{ sender.postal_address }}"
WITHOUT = {
    "no link": ("Unsubscribe", POSTAL),
    "a link in a comment": (f"<!-- {UNSUBSCRIBE} -->", POSTAL),
    "the address of the link as words": ("{{ links.unsubscribe }}", POSTAL),
    "a link to the preferences only": ('<a href="{{ links.preferences }}">Unsubscribe</a>', POSTAL),
    "no postal address": (UNSUBSCRIBE, "1 Quay, Oslo"),
}


def mail(link: str, postal: str) -> str:
    head = '<!doctype html><html lang="en"><head><title>x</title></head><body>'
    return f"{head}<p>Hello</p><p>{link}, {postal}</p></body></html>"


@pytest.mark.parametrize("what", WITHOUT)
def test_bulk_mail_without_what_it_must_have_is_an_error(shop: Shop, what: str) -> None:
    write(shop, BODY, mail(UNSUBSCRIBE, POSTAL))
    assert mailshot("rules", "check")[0] == 0
    write(shop, BODY, mail(*WITHOUT[what]))
    code, printed = mailshot("rules", "check")
    assert (code, "templates/hello/body.html" in printed) == (INVALID, True), printed
    assert mailshot("plan", "hello")[0] == INVALID
    assert mailshot("plan", "hello", "--json")[0] == INVALID
    assert mailshot("launch", "hello")[0] == REFUSED


def test_a_link_to_unsubscribe_that_some_do_not_get_is_an_error_of_the_plan(shop: Shop) -> None:
    write(shop, BODY, mail("{% if customer.country %}" + UNSUBSCRIBE + "{% endif %}", POSTAL))
    code, printed = mailshot("plan", "hello")
    assert (code, "the link to unsubscribe is not in it" in flat(printed)) == (INVALID, True)


def test_service_mail_needs_neither(shop: Shop) -> None:
    write(shop, "rules/topics.yaml", "offers: {title: Your order, requires_consent: no}\n")
    write(shop, BODY, mail("Thank you", "Bay Shop"))
    assert mailshot("rules", "check")[0] == 0
    assert mailshot("plan", "hello")[0] == 0
    assert mailshot("launch", "hello")[0] == 0


def test_a_recurring_campaign_that_does_not_say_whether_it_repeats_is_asked(shop: Shop) -> None:
    shop_file = (shop.folder / HELLO).read_text()
    write(shop, HELLO, shop_file + 'schedule: {cron: "0 9 * * *"}\n')
    for arguments in (("rules", "check"), ("plan", "hello"), ("launch", "hello")):
        code, printed = mailshot(*arguments)
        assert code == INVALID
        assert f"{HELLO}:7:" in printed
        for way in ("repeat: no", "repeat: yes", "repeat: after 300 days"):
            assert way in flat(printed)


def test_a_past_run_is_judged_by_the_goal_of_its_launch(shop: Shop) -> None:
    product = {"id": 1, "key": "P1", "department": "GREEN", "known": True, "facts": {}}
    with shop.store.write() as connection:
        connection.execute(dialect.table(tables.Product).insert(), [product])
    shop.campaign(more="goal: {products: {department: GREEN}, within: 30 days}\n")
    mailshot("plan", "hello")
    mailshot("launch", "hello")
    settle(shop)
    line = {
        "customer_id": shop.customers[0], "order_key": "o", "product_id": 1, "nth": 1,
        "at": datetime.now(UTC), "quantity": Decimal(1), "amount": Decimal(5),
    }  # fmt: skip
    with shop.store.write() as connection:
        connection.execute(dialect.table(tables.Purchase).insert(), [line])
    before = mailshot("report", "hello")[1]
    assert "Bought: 1 of 3 mailed" in before
    shop.campaign(more="goal: {products: {department: MEAT}, within: 1 day}\n")
    assert mailshot("report", "hello")[1] == before
    (shop.folder / HELLO).unlink()
    assert mailshot("report", "hello")[1] == before


def test_moments_are_in_company_time_and_never_cut(shop: Shop) -> None:
    shop.campaign(more="schedule: {at: 2099-10-03 14:05, zone: Asia/Tokyo}\n")
    code, printed = mailshot("plan", "hello")
    assert code == 0
    assert "once at 2099-10-03 01:05 EDT, next 2099-10-03 01:05 EDT" in flat(printed)
    assert " UTC" not in printed
    mailshot("launch", "hello")
    name = "a campaign with quite a long name that does not fit at all"
    with shop.store.write() as connection:
        connection.execute(dialect.table(tables.Schedule).update().values(campaign=name))
    printed = mailshot("status")[1]
    assert "2099-10-03 01:05 EDT" in flat(printed)
    assert "2099-10-03" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_plan_shows_company_time_whatever_the_moment_is_given_in(shop: Shop) -> None:
    assert "as of 2026-10-03 14:05 EDT" in mailshot("plan", "hello", "--as-of", "2026-10-03T14:05")[1]
    assert project.NOW.tzinfo is UTC


def test_a_scheduled_campaign_without_file_or_template_is_told(shop: Shop) -> None:
    shop.campaign(more='schedule: {cron: "0 9 * * *"}\nrepeat: yes\n')
    mailshot("plan", "hello")
    assert mailshot("launch", "hello")[0] == 0
    (shop.folder / "templates/hello/body.html").unlink()
    code, printed = mailshot("rules", "check")
    assert code == 3
    assert "'hello' is scheduled with the version of" in flat(printed)
    (shop.folder / "rules/campaigns/hello.yaml").unlink()
    for command in (["plan", "hello"], ["launch", "hello"], ["preview", "hello"], ["rules", "explain", "hello", "c1"]):
        code, printed = mailshot(*command)
        assert code == 4
        assert "There is no campaign 'hello' in the rules, but it is scheduled with the version of" in flat(printed)
    mailshot("pause", "hello")
    assert "It is paused" in flat(mailshot("plan", "hello")[1])


def test_every_mistake_of_a_campaign_is_told_at_once(shop: Shop) -> None:
    path = shop.folder / "rules/campaigns/hello.yaml"
    text = path.read_text()
    path.write_text(text.replace("sender: bay", "sender: bya").replace("template: hello", "template: hlelo"))
    code, printed = mailshot("rules", "check")
    assert code == 3
    assert flat(printed).count("unknown sender 'bya'") == 1
    assert flat(printed).count("hlelo") == 2, "message and line"
    path.write_text(text.replace("audience: everyone", "audience: evryone"))
    write(shop, "templates/hello/subject.txt", "Hello {{ customer.frist_name }}")
    printed = flat(mailshot("rules", "check")[1])
    assert printed.count("unknown audience 'evryone'") == 1
    assert printed.count("Unknown fact 'customer.frist_name'") == 1


@pytest.mark.parametrize("name", [".", "..", " ", "", "meat/fish", "meat\\fish"])
def test_a_content_whose_archive_address_cannot_work_is_refused(shop: Shop, name: str) -> None:
    text = (shop.folder / HELLO).read_text(encoding="utf-8")
    write(shop, HELLO, text.replace("name: hello, template", f"name: '{name}', template"))
    for command in (("rules", "check"), ("plan", "hello")):
        code, printed = mailshot(*command)
        assert code == INVALID
        assert f"{HELLO}:6:18: '{name}' cannot be the name of a content: its address" in printed
        assert printed.count("Rename it.") == 1


@pytest.mark.parametrize("name", ["...", "a.b", "Fisk & Kjøtt", "10 % ?#"])
def test_any_other_content_can_be_named_so(shop: Shop, name: str) -> None:
    text = (shop.folder / HELLO).read_text(encoding="utf-8")
    write(shop, HELLO, text.replace("name: hello, template", f"name: '{name}', template"))
    assert mailshot("rules", "check")[0] == 0


def test_a_product_value_that_nothing_contains_gets_a_suggestion(shop: Shop) -> None:
    row = {"id": 1, "key": "P1", "name": "Tea", "department": "Tea", "known": True, "facts": {}}
    with shop.store.write() as connection:
        connection.execute(dialect.table(tables.Product).insert(), row)
    code, printed = mailshot("rules", "values", "department", "Teaa")
    assert code == 4
    assert "Did you mean 'Tea'?" in printed


def test_the_next_step_of_a_new_project_can_be_copied(tmp_path: Path) -> None:
    assert f"cd '{tmp_path}/a b/c', then" in flat(mailshot("init", f"{tmp_path}/a b/c")[1])


def test_warnings_show_their_line_as_errors_do(shop: Shop) -> None:
    body = (shop.folder / BODY).read_text(encoding="utf-8")
    number = len(body.split("\n")) - 1
    tag = '<p>\t<img src="https://shop.example/a.png"> Fresh [today]</p>'
    write(shop, BODY, body.rstrip("\n") + f"\n\n{tag}\n")
    place = f"{BODY}:{number + 2}:5: The image has no alt text."
    lines = ["    <p>" + " " + tag.removeprefix("<p>\t"), "        ^"]
    checked = mailshot("rules", "check")[1].splitlines()
    start = checked.index(f"Warning: {place}")
    assert checked[start + 1 : start + 3] == lines
    planned = mailshot("plan", "hello")[1].splitlines()
    start = planned.index(f"Warning: hello: {place}")
    assert planned[start + 1 : start + 3] == lines
