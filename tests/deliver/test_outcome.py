"""Checks how replies of servers are classified."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailshot.deliver.outcome import Phase, Status, classify_reply, connection_lost

INPUTS = Path(__file__).parents[1] / "inputs"


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("code", [450, 451, 452, 550, 552, 554])
@pytest.mark.parametrize("detail", ["7.1", "7.26", "7.0"])
def test_a_policy_code_never_refuses_the_recipient(phase: Phase, code: int, detail: str) -> None:
    verdict = classify_reply(phase, code, f"{code // 100}.{detail} we do not like you")
    assert verdict.sender_fault
    assert verdict.status is Status.retry


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.dot])
def test_silence_before_the_dot_is_retried(phase: Phase) -> None:
    assert connection_lost(phase, "gone").status is Status.retry


def test_silence_after_the_dot_is_in_doubt() -> None:
    assert connection_lost(Phase.dot, "gone").status is Status.in_doubt


def test_a_reply_can_be_stored_in_any_database() -> None:
    verdict = classify_reply(Phase.rcpt, 550, "5.1.1 a\x00b\r\nc\x1b[31m \udcff" + "x" * 2000)
    assert verdict.reply.encode().startswith(b"550 5.1.1 a b c [31m")
    assert "\x00" not in verdict.reply
    assert len(verdict.reply) <= 500


@pytest.mark.parametrize("line", (INPUTS / "M01-replies.tsv").read_text(encoding="utf-8").splitlines()[1:])
def test_replies_of_real_servers(line: str) -> None:
    _, phase, reply, expected, *_ = line.split("\t")
    lines = reply.split(" / ")
    code, text = int(lines[0][:3]), "\n".join(part[4:] for part in lines)
    outcomes = {"sent": Status.accepted, "deferred": Status.retry, "refused": Status.refused}
    verdict = classify_reply(Phase(phase.lower()), code, text)
    assert (verdict.status, verdict.sender_fault) == (outcomes[expected], False)


@pytest.mark.parametrize(
    "text",
    [
        "Unknown user (MTA 5.7.2-beta)",
        "no relay 10.5.7.1 for you",
        "see https://help.example/5.7.26",
        "4.7.1 is another class",
        "5.7.1.2 is an address",
    ],
)
def test_a_status_code_counts_only_at_the_beginning_and_of_the_same_class(text: str) -> None:
    verdict = classify_reply(Phase.rcpt, 550, text)
    assert (verdict.status, verdict.sender_fault) == (Status.refused, False)


GONE = [
    (550, "5.1.1 <a@b.example>: user unknown"),
    (550, "5.1.1 The account\n5.1.1 does not exist"),
    (556, "5.1.10 Recipient address has a null MX"),
    (550, "5.2.1 The email account that you tried to reach is disabled"),
    (553, "5.1.3 bad address"),
    (550, "No such user here"),
    (550, "Requested action not taken: mailbox not found"),
    (550, "<a@b.example>: Recipient address does not exist"),
]
NOT_GONE = [
    (450, "4.1.1 user unknown for now"),
    (450, "5.1.1 of another class"),
    (550, "5.7.1 user unknown to our policy"),
    (550, "5.1.8 Sender address rejected: domain not found"),
    (550, "5.1.7 bad sender"),
    (552, "5.2.2 mailbox full"),
    (550, "5.4.1 access denied"),
    (550, "blocked: unknown user of a spam list"),
    (550, "Requested action not taken"),
    (554, "No such user here, but said of a transaction"),
    (421, "5.1.1 busy"),
]


@pytest.mark.parametrize(("code", "text"), GONE)
def test_a_mailbox_that_does_not_exist_is_recognised(code: int, text: str) -> None:
    assert classify_reply(Phase.rcpt, code, text).no_mailbox


@pytest.mark.parametrize(("code", "text"), NOT_GONE)
def test_no_other_reply_is_taken_for_a_missing_mailbox(code: int, text: str) -> None:
    assert not classify_reply(Phase.rcpt, code, text).no_mailbox


@pytest.mark.parametrize("phase", [Phase.connect, Phase.mail, Phase.data, Phase.body])
def test_only_the_recipient_and_the_mail_can_be_refused_permanently(phase: Phase) -> None:
    assert not classify_reply(phase, 550, "5.1.1 user unknown").no_mailbox
