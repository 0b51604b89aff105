"""Checks `mailshot import` as a marketer runs it: exit codes, loud lines, and the way from rejected rows back in."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from tests.cli.test_errors import INVALID, tried
from tests.support.project import Shop

INPUTS = Path(__file__).parents[1] / "inputs/dirty"
PEOPLE = "id,mail\nQ1,q1@example.com\nQ2,q2@example.com\n"
CONSENTS = (
    "name: m\nimports:\n  - kind: consents\n    file: said.csv\n    columns: "
    "{customer: id, topic: topic, given: given, at: at, source: {value: test}}\n"
)


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    store = Store.open(sqlite_url)
    made = Shop.open(store, tmp_path / "shop")
    monkeypatch.chdir(made.folder)
    write("people.csv", PEOPLE)
    write(
        "people.yaml", "name: p\nimports:\n  - {kind: customers, file: people.csv, columns: {key: id, email: mail}}\n"
    )
    write("m.yaml", CONSENTS)
    assert tried(made, "import", "people.yaml")[0] == 0
    yield made
    store.close()


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def stated_consents(shop: Shop) -> dict[str, int]:
    """Return what was said of the offers, by the customer's key."""
    query = "SELECT key, given FROM consent JOIN customer ON customer.id = customer_id WHERE topic = 'offers'"
    with closing(sqlite3.connect(str(shop.store.engine.url.database))) as connection:
        return dict(connection.execute(query).fetchall())


def write_consents(*rows: str) -> None:
    write("said.csv", "id,topic,given,at\n" + "".join(f"{row}\n" for row in rows))


def test_a_withdrawal_that_is_not_understood_is_loud_and_fixed_by_its_file(shop: Shop) -> None:
    write_consents("Q1,offers,yes,2026-01-01", "Q2,offers,yes,2026-01-01", "Q1,offers,stop it,2026-02-01")
    code, printed = tried(shop, "import", "m.yaml")
    assert code == INVALID
    assert "1 row of said.csv may be WITHDRAWALS but could not be read: these customers may still be mailed." in printed
    assert "mailshot rules count" not in printed
    assert "mailshot import m.yaml --file" in printed
    assert stated_consents(shop) == {"Q1": 1, "Q2": 1}
    path = shop.folder / "rejects" / "m-consents-1.csv"
    text = path.read_text("utf-8-sig")
    assert 'Q1,offers,stop it,2026-02-01,4,"rejected: given is neither yes nor no;' in text
    path.write_text(text.replace("stop it", "no"), encoding="utf-8")
    code, printed = tried(shop, "import", "m.yaml", "--file", str(path))
    assert (code, "mailshot rules count" in printed) == (0, True)
    assert stated_consents(shop) == {"Q1": 0, "Q2": 1}
    assert not path.exists()


# Rows, and whether the import ends with an error.
OUTCOMES: dict[str, tuple[tuple[str, ...], bool]] = {
    "all is well": (("Q1,offers,no,2026-01-01",), False),
    "no rows": ((), False),
    "a consent of an unknown customer": (("Q1,offers,yes,2026-01-01", "Q9,offers,yes,2026-01-01"), False),
    "a withdrawal of an unknown customer": (("Q1,offers,yes,2026-01-01", "Q9,offers,no,2026-01-01"), True),
    "a withdrawal of an unknown topic": (("Q1,offers,yes,2026-01-01", "Q1,ofers,no,2026-01-01"), True),
    "a consent to an unknown topic": (("Q1,offers,yes,2026-01-01", "Q1,ofers,yes,2026-01-01"), False),
    "a withdrawal without a time": (("Q1,offers,no,",), False),
    "a ragged row": (("Q1,offers,yes,2026-01-01", "Q1,offers,no"), True),
    "every row rejected": (("Q9,offers,yes,2026-01-01", "Q8,offers,yes,2026-01-01"), True),
}


@pytest.mark.parametrize("how", [(), ("--check",), ("--json",)], ids=["run", "check", "json"])
@pytest.mark.parametrize("name", OUTCOMES)
def test_exit_codes(shop: Shop, name: str, how: tuple[str, ...]) -> None:
    rows, fails = OUTCOMES[name]
    write_consents(*rows)
    code, printed = tried(shop, "import", "m.yaml", *how)
    assert code == (INVALID if fails else 0)
    assert ("Next: mailshot" in printed) == (not fails and how != ("--json",))
    assert ("may be WITHDRAWALS" in printed or "Nothing was imported from said.csv" in printed) == fails


def test_json_tells_how_many_withdrawals_were_rejected(shop: Shop) -> None:
    write_consents("Q1,offers,never,2026-01-01", "Q1,offers,yes,2026-01-01")
    _, printed = tried(shop, "import", "m.yaml", "--json")
    (report,) = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])["imports"]
    assert (report["rejected"], report["withdrawals_rejected"]) == (1, 1)
    with open(report["notes"], encoding="utf-8", newline="") as file:
        assert [(row["line"], row["column"]) for row in csv.DictReader(file)] == [("2", "given")]


def test_a_topics_nearest_word_is_named(shop: Shop) -> None:
    write("topics.csv", (INPUTS / "unknown-topics.csv").read_text("utf-8").replace("Q3", "Q1"))
    write("t.yaml", CONSENTS.replace("said.csv", "topics.csv").replace("customer: id", "customer: key"))
    code, printed = tried(shop, "import", "t.yaml")
    assert (code, stated_consents(shop)) == (INVALID, {"Q1": 0})
    assert "Did you mean offers" in " ".join(printed.split())


def test_an_unreadable_suppression_is_loud(shop: Shop) -> None:
    write("list.csv", "mail\nx@example.com\nnobody\n")
    write("l.yaml", "name: l\nimports:\n  - {kind: suppressions, file: list.csv, columns: {email: mail}}\n")
    code, printed = tried(shop, "import", "l.yaml")
    assert code == INVALID
    assert "1 row of list.csv may be WITHDRAWALS" in printed


def test_a_customer_is_not_named_by_an_address_of_two(shop: Shop) -> None:
    write("people.csv", "id,mail\nQ1,q1@example.com\nQ2,Q1@example.com\n")
    code, printed = tried(shop, "import", "people.yaml")
    assert code == 0
    assert "mail is also" in " ".join(printed.split())
    code, printed = tried(shop, "rules", "explain", "everyone", "q1@example.com")
    assert (code, "Name one by its key: Q1, Q2." in printed) == (5, True)


def test_corrected_rows_survive_a_check_and_another_import(shop: Shop) -> None:
    write_consents("Q1,offers,yes,2026-01-01", "Q2,offers,perhaps,2026-02-01")
    assert tried(shop, "import", "m.yaml")[0] == INVALID
    path = Path("rejects/m-consents-1.csv")
    fixed = path.read_text("utf-8-sig").replace("perhaps", "no")
    path.write_text(fixed, encoding="utf-8")
    code, printed = tried(shop, "import", "m.yaml", "--check")
    assert (code, path.read_text("utf-8")) == (INVALID, fixed)
    assert "rejects/m-consents-1.check.csv" in printed.replace("\n", "")
    assert "Next: fix said.csv" in printed
    code, printed = tried(shop, "import", "m.yaml", "--check", "--file", str(path))
    assert (code, path.read_text("utf-8")) == (0, fixed)
    assert "fix" not in printed
    assert f"mailshot import m.yaml --file {path}" in printed
    code, printed = tried(shop, "import", "m.yaml")
    kept = [copy for copy in Path("rejects").glob("m-consents-1.2*.csv") if copy.read_text("utf-8") == fixed]
    assert (code, len(kept)) == (INVALID, 1)
    assert kept[0].name in printed.replace("\n", "")
    # The same rejected rows again are no reason to keep another file.
    assert tried(shop, "import", "m.yaml")[0] == INVALID
    assert len(list(Path("rejects").iterdir())) == 3
    assert tried(shop, "import", "m.yaml", "--file", str(kept[0]))[0] == 0
    assert stated_consents(shop) == {"Q1": 1, "Q2": 0}


def test_a_look_at_looked_at_rows_takes_no_fix_away(shop: Shop) -> None:
    write_consents("Q2,offers,perhaps,2026-02-01")
    tried(shop, "import", "m.yaml", "--check")
    path = Path("rejects/m-consents-1.check.csv")
    for word, code in (("maybe", INVALID), ("no", 0)):
        fixed = path.read_text("utf-8-sig").replace("perhaps", word).replace("maybe", word)
        path.write_text(fixed, encoding="utf-8")
        assert tried(shop, "import", "m.yaml", "--check", "--file", str(path))[0] == code
        assert path.read_text("utf-8") == fixed
