"""Checks the examples of rule files through the real command line, as a marketer runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.project import FILES

INVALID, MISSING = 3, 4
PRODUCTS = "greens: {department: PRODUCE, category: [TOMATOES, ONIONS]}\nmeat: {department: MEAT}\n"
LOVERS = """audience: lovers
who:
  bought: {group: greens, within: 90 days, times: {at_least: 3}}
  never_bought: {group: meat, within: 90 days}
examples:
  - name: three trips
    bought: {group: greens, at: 10 days ago, times: 3}
    matches: yes
  - name: and a sausage
    bought:
      - {group: greens, at: 10 days ago, times: 3}
      - {group: meat, at: yesterday}
    matches: no
"""
NAMED = """audience: nordic lovers
who:
  audience: lovers
  country: [NO, SE]
examples:
  - customer: {country: "NO"}
    bought: {group: greens, times: 3}
    matches: yes
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project without any database."""
    audiences = {"lovers": LOVERS, "nordic": NAMED}
    files = FILES | {f"rules/audiences/{name}.yaml": text for name, text in audiences.items()}
    for path, text in {**files, "rules/products.yaml": PRODUCTS}.items():
        put(tmp_path, path, text)
    return tmp_path


def put(project: Path, path: str, text: str) -> None:
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(text, encoding="utf-8")


def mailshot(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    surroundings = {**kept, "PYTHONPATH": str(processes.ROOT), "COLUMNS": "120", "MAILSHOT_PROJECT": str(project)}
    command = [sys.executable, "-m", "mailshot", *arguments]
    done = subprocess.run(
        command, env=surroundings, cwd=project, text=True, capture_output=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def test_all_as_expected(project: Path) -> None:
    before = sorted(project.rglob("*"))
    done = mailshot(project, "rules", "test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "3 examples in 2 audiences: all passed.",
        "1 audience has no examples: everyone.",
    ]
    assert sorted(project.rglob("*")) == before
    assert mailshot(project, "rules", "test", "nordic lovers").stdout == "1 example in 1 audience: all passed.\n"
    alone = mailshot(project, "rules", "test", "everyone").stdout.splitlines()
    assert alone == ["There are no examples.", "1 audience has no examples: everyone."]
    assert mailshot(project, "rules", "check").returncode == 0


def test_a_failing_example_says_why_and_what_would_have_to_change(project: Path) -> None:
    put(project, "rules/audiences/lovers.yaml", LOVERS.replace("at_least: 3", "at_least: 4"))
    done = mailshot(project, "rules", "test")
    assert (done.returncode, done.stderr) == (INVALID, "")
    printed = done.stdout
    assert "✗ lovers: three trips (rules/audiences/lovers.yaml:6)\n  It should match, but does not.\n" in printed
    assert "├── ✗ bought greens, within 90 days, times at least 4  3 times  line 3" in printed
    assert "└── ✓ not bought meat, within 90 days  none  line 4" in printed
    assert "To match: bought greens, within 90 days, times at least 4 (now: 3 times): once more" in printed
    assert "✗ nordic lovers: example 1 (rules/audiences/nordic.yaml:6)" in printed
    assert "line 3 of 'lovers'" in printed
    assert "3 examples in 2 audiences: 2 failed." in printed
    assert mailshot(project, "rules", "check").returncode == 0  # check reads examples, but runs none


def test_json_is_alone_on_stdout(project: Path) -> None:
    put(project, "rules/audiences/lovers.yaml", LOVERS.replace("times: 3}", "times: 2}", 1))
    done = mailshot(project, "rules", "test", "lovers", "--json")
    assert (done.returncode, done.stderr) == (INVALID, "")
    first, second = json.loads(done.stdout)["examples"]
    assert (first["example"], first["line"], first["file"]) == ("three trips", 6, "rules/audiences/lovers.yaml")
    assert (first["expected"], first["matches"], first["as_expected"]) == (True, False, False)
    assert first["changes"] == ["bought greens, within 90 days, times at least 3 (now: 2 times): once more"]
    assert first["verdict"]["parts"][0]["line"] == 3
    assert (second["as_expected"], second["says"], second["changes"]) == (True, "", [])


def test_mistakes_are_told_and_the_sound_ones_run(project: Path) -> None:
    put(project, "rules/audiences/nordic.yaml", NAMED.replace("greens, times", "grens, tims"))
    put(project, "rules/audiences/broken.yaml", "audience: broken\nwho: {contry: NO}\nexamples: [{match: yes}]\n")
    done = mailshot(project, "rules", "test")
    assert done.returncode == INVALID
    assert "2 examples in 1 audience: all passed." in done.stdout
    assert "rules/audiences/nordic.yaml:7:21: unknown product group 'grens'" in done.stderr
    assert "rules/audiences/nordic.yaml:7:28: unknown word or product field 'tims'" in done.stderr
    for command in ("test", "check"):
        errors = mailshot(project, "rules", command).stderr
        assert "rules/audiences/broken.yaml:2:7: unknown condition or fact 'contry'" in errors
        assert "rules/audiences/broken.yaml:3:13: unknown word 'match' in an example" in errors
    assert mailshot(project, "rules", "test", "lovers").returncode == 0
    unknown = mailshot(project, "rules", "test", "lover")
    assert unknown.returncode == MISSING
    assert "Did you mean 'lovers'?" in unknown.stderr


def test_an_example_must_not_hold_by_chance_of_the_calendar(project: Path) -> None:
    rule = (
        "audience: month\nwho: {{bought: {{since: this month}}}}\nexamples: [{{{}bought: {{at: {}}}, matches: {}}}]\n"
    )
    put(project, "rules/audiences/month.yaml", rule.format("", "15 days ago", "yes"))
    matching = mailshot(project, "rules", "test", "month")
    put(project, "rules/audiences/month.yaml", rule.format("", "15 days ago", "no"))
    failing = mailshot(project, "rules", "test", "month")
    assert {matching.returncode, failing.returncode} == {INVALID}
    assert "Its result changes when today is" in matching.stdout + failing.stdout
    assert "'as_of: " in matching.stdout + failing.stdout
    put(project, "rules/audiences/month.yaml", rule.format("as_of: 2026-03-20, ", "2026-03-05", "yes"))
    assert mailshot(project, "rules", "test", "month").returncode == 0
    put(project, "rules/audiences/month.yaml", rule.format("", "2026-03-05", "yes"))
    assert "but 'today' moves on" in mailshot(project, "rules", "test", "month").stderr
    company = FILES["rules/company.yaml"] + "as_of: 2026-03-20 09:00\n"
    put(project, "rules/company.yaml", company)
    assert mailshot(project, "rules", "test", "month").returncode == 0


def test_examples_change_no_meaning(project: Path) -> None:
    from mailshot.rulebook.rulebook import Rulebook

    rules = Rulebook.load(project)
    put(project, "rules/audiences/lovers.yaml", LOVERS.split("examples")[0])
    without = Rulebook.thaw(Rulebook.load(project).freeze())
    assert rules.book.audience("lovers") == without.book.audience("lovers")


RETURNS = sorted((processes.ROOT / "tests/inputs/returns").glob("*.yaml"))
SENT_BACK = """audience: sent back
who: {returned: {within: 30 days, amount: {at_least: 20}}, never_bought: {}}
examples:
  - name: all of it
    bought: {name: A, at: 40 days ago, quantity: 2, amount: 20}
    returned: {name: A, at: 5 days ago, quantity: 2, amount: 20}
    matches: yes
  - name: told as a purchase below zero
    bought:
      - {name: A, at: 40 days ago, quantity: 2, amount: 20}
      - {name: A, at: 5 days ago, quantity: -2, amount: -20}
    matches: yes
  - name: nothing was bought
    returned: {name: A, at: 5 days ago, amount: 20}
    matches: yes
  - name: one is kept
    bought: {name: A, at: 40 days ago, quantity: 3, amount: 30}
    returned: {name: A, at: 5 days ago, quantity: 2, amount: 20}
    matches: no
  - name: too long ago
    bought: {name: A, at: 60 days ago, quantity: 2, amount: 20}
    returned: {name: A, at: 40 days ago, quantity: 2, amount: 20}
    matches: no
"""


def test_what_was_returned_was_not_bought(project: Path) -> None:
    assert len(RETURNS) == 2
    for path in RETURNS:
        put(project, f"rules/audiences/{path.stem}.yaml", path.read_text())
    put(project, "rules/audiences/back.yaml", SENT_BACK)
    done = mailshot(project, "rules", "test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "10 examples in 5 audiences: all passed."
