"""What replies mean, as values."""

from __future__ import annotations

import pytest

from mailshot.deliver.verdict import Outcome, Phase, judge, lost


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("code", [450, 451, 452, 550, 552, 554])
@pytest.mark.parametrize("detail", ["7.1", "7.26", "7.0"])
def test_a_policy_code_never_refuses_the_recipient(phase: Phase, code: int, detail: str) -> None:
    verdict = judge(phase, code, f"{code // 100}.{detail} we do not like you")
    assert verdict.ours
    assert verdict.outcome is Outcome.retry


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.dot])
def test_silence_before_the_dot_is_tried_again(phase: Phase) -> None:
    assert lost(phase, "gone").outcome is Outcome.retry


def test_silence_after_the_dot_is_in_doubt() -> None:
    assert lost(Phase.dot, "gone").outcome is Outcome.in_doubt


def test_what_a_server_says_can_be_kept_by_any_database() -> None:
    verdict = judge(Phase.rcpt, 550, "5.1.1 a\x00b\r\nc\x1b[31m \udcff" + "x" * 2000)
    assert verdict.reply.encode().startswith(b"550 5.1.1 a b c [31m")
    assert "\x00" not in verdict.reply
    assert len(verdict.reply) <= 500
