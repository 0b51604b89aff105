"""Checks what is read from whole messages of many servers and programs, and from replies of servers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mailshot.incoming import bounce_rules, parser
from mailshot.incoming.bounce_rules import SmtpPhase
from mailshot.states import IncomingKind
from tests.incoming.keys import KEYS

INPUTS = Path(__file__).parents[1] / "inputs/incoming"


def _rows(name: str) -> list[dict[str, str]]:
    with (INPUTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


MESSAGES, REPLIES = _rows("expected.tsv"), _rows("replies.tsv")


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row["message"])
def test_a_message_is_read(row: dict[str, str]) -> None:
    message = parser.parse((INPUTS / f"{row['message']}.eml").read_bytes(), KEYS, None)
    reason = message.reason.name if message.reason else "-"
    assert (message.kind.name, reason, message.reported_address or "-") == (row["kind"], row["reason"], row["address"])


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row["message"])
def test_line_ends_make_no_difference(row: dict[str, str]) -> None:
    raw = (INPUTS / f"{row['message']}.eml").read_bytes()
    assert parser.parse(raw.replace(b"\n", b"\r\n"), KEYS, None) == parser.parse(raw, KEYS, None)


def test_every_sample_is_listed() -> None:
    assert sorted(path.stem for path in INPUTS.glob("*.eml")) == sorted(row["message"] for row in MESSAGES)


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: row["reply"][:60])
def test_a_reply_to_rcpt_is_judged(row: dict[str, str]) -> None:
    verdict = bounce_rules.decide(bounce_rules.read_failure("", row["reply"], SmtpPhase.rcpt))
    assert (verdict.kind.name, verdict.reason.name) == (row["kind"], row["reason"])


@pytest.mark.parametrize("row", [row for row in REPLIES if row["kind"] == "hard"], ids=lambda row: row["reply"][:60])
@pytest.mark.parametrize("objection", ["listed at zen.spamhaus.org", "message looks like spam", "SPF check failed"])
def test_an_objection_to_the_sender_is_never_hard(row: dict[str, str], objection: str) -> None:
    reply = f"{row['reply']}; {objection}"
    verdict = bounce_rules.decide(bounce_rules.read_failure("5.1.1", reply, SmtpPhase.rcpt))
    assert verdict.kind is IncomingKind.block


@pytest.mark.parametrize("row", [row for row in REPLIES if row["kind"] == "hard"], ids=lambda row: row["reply"][:60])
def test_a_temporary_code_is_never_hard(row: dict[str, str]) -> None:
    reply = "450 4.2.0 " + row["reply"].lstrip("0123456789.-# ")
    verdict = bounce_rules.decide(bounce_rules.read_failure("4.2.0", reply, SmtpPhase.rcpt))
    assert verdict.kind is not IncomingKind.hard


@pytest.mark.parametrize("status", ["4.7.1", "5.7.1", "5.7.26", "4.7.0"])
def test_a_policy_code_alone_is_a_block(status: str) -> None:
    for text in ("", f"550 {status} no", "550 we do not like you"):
        assert (
            bounce_rules.decide(bounce_rules.read_failure(status, text, SmtpPhase.unknown)).kind is IncomingKind.block
        )
