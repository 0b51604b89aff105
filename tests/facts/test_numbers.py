"""Checks that numbers are written in plain digits wherever a project is described, and that others are told how."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from mailshot import documents, settings
from mailshot.audience.registry import AudienceRegistry
from mailshot.errors import InvalidInput, SettingsError
from mailshot.facts import yaml_values
from mailshot.facts.catalogue import FactType
from mailshot.facts.periods import Span
from mailshot.profile import preferences
from mailshot.rulebook.campaign import CampaignDefinition
from mailshot.tokens import KeyRing
from tests.support.conditions import VOCABULARY

#: A way of writing that is no number, and the one that is meant.
ODD = {
    "1_000": "1000",
    "\u0663": "3",
    "\uff13": "3",
    "+5": "5",
    "1e3": "1000",
    "1E3": "1000",
    ".5": "0.5",
    "5.": "5",
    "1.000": "1000 or 1",
    "12.500": "12500 or 12.5",
    "0x10": "",
    "1 000": "",
    "1'000": "",
    "1,000": "1.000",
    "inf": "",
    "Infinity": "",
    "nan": "",
    "\u00b2": "",
    "\u2160": "",
    "\u22125": "",
}
PLAIN = {"0": 0, "3": 3, "-1": -1, "12.50": Decimal("12.5"), "007": 7, "0.500": Decimal("0.5")}
AUDIENCE = "audience: a\nwho:\n  {}\n"
CAMPAIGN = "campaign: c\ntopic: t\nsender: s\naudience: a\ncontent: [{{name: n, template: t}}]\n{}\n"


def problem_of(text: str) -> tuple[int, str, str]:
    """Return line, message and remedy of the one thing wrong with an audience."""
    with pytest.raises(InvalidInput) as raised:
        AudienceRegistry([documents.parse_document(AUDIENCE.format(text), "a.yaml")], VOCABULARY).audiences()
    (problem,) = raised.value.problems
    return problem.line, problem.message, problem.remedy


@pytest.mark.parametrize("raw", ODD)
def test_rules_take_plain_digits_only(raw: str) -> None:
    line, message, remedy = problem_of(f'bought: {{times: {{at_least: "{raw}"}}}}')
    assert line == 3
    assert f"'{raw}' is not a number such as 3 or 12.50" in message
    assert (f" {ODD[raw]}." in remedy) if ODD[raw] else remedy == ""


@pytest.mark.parametrize("raw", PLAIN)
def test_plain_digits_are_read(raw: str) -> None:
    assert yaml_values.typed(raw, FactType.number) == PLAIN[raw]


@pytest.mark.parametrize(
    "text",
    [
        "bought: {times: {at_least: -1}}",
        "bought: {times: {between: [-2, 3]}}",
        "bought: {distinct_products: {at_most: -1}}",
        "bought: {days_since_last: {at_least: -1}}",
        "{at_least: -1, of: [{bought: {within: 3 days}}, {bought: {within: 9 days}}]}",
    ],
)
def test_what_is_counted_is_never_negative(text: str) -> None:
    line, _message, _remedy = problem_of(text)
    assert line == 3


@pytest.mark.parametrize("raw", ODD)
@pytest.mark.parametrize("field", ["limits: {{rate: '{}'}}", "limits: {{cap: {{mails: '{}', per: 7 days}}}}"])
def test_campaigns_take_plain_digits_only(field: str, raw: str) -> None:
    document = documents.parse_document(CAMPAIGN.format(field.format(raw.replace("'", "''"))), "c.yaml")
    with pytest.raises(InvalidInput) as raised:
        document.model(CampaignDefinition)
    (problem,) = raised.value.problems
    assert problem.line == 6
    assert "must be a whole number" in problem.message
    assert problem.remedy == "Write digits only, for example 6."


def test_preferences_take_plain_digits_only() -> None:
    with pytest.raises(ValueError, match="whole number"):
        preferences._Limit.model_validate({"mails": "1_000", "per": "7 days"})
    assert preferences._Limit.model_validate({"mails": "10", "per": "7 days"}).mails == 10


@pytest.mark.parametrize("text", ["\u0669 days", "\uff13 days", "1_0 days", "+3 days", "-3 days", "1e1 days", "0 days"])
def test_lengths_of_time_take_plain_digits_only(text: str) -> None:
    assert Span.parse(text) is None


@pytest.mark.parametrize("text", ["20260331", "2026-W13-2", "2026-3-31", "\uff12026-03-31"])
def test_days_are_written_with_dashes(text: str) -> None:
    assert yaml_values.typed(text, FactType.date) is None


@pytest.mark.parametrize("name", ["WEB_PORT", "CONNECTIONS", "LEASE", "DOT_TIMEOUT", "BATCH"])
@pytest.mark.parametrize("raw", ["1_000", "+1000", "1e3", "inf", "nan", "\u0661\u0660\u0660", "0x400"])
def test_settings_take_plain_digits_only(tmp_path: Path, name: str, raw: str) -> None:
    with pytest.raises(SettingsError, match=f"MAILSHOT_{name}: must be a number in digits"):
        settings.load_settings(tmp_path, {f"MAILSHOT_{name}": raw})
    assert settings.load_settings(tmp_path, {"MAILSHOT_LEASE": "12.5", "MAILSHOT_BATCH": " 7 "}).lease == 12.5


@pytest.mark.parametrize("raw", ["\u0661", "1_0", "+1"])
def test_ids_of_keys_take_plain_digits_only(raw: str) -> None:
    with pytest.raises(SettingsError):
        KeyRing.parse(f"{raw}:{'5a' * 32}")
