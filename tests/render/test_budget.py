"""What a mail costs is counted by what goes into its work, and its parts share one time."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from mailshot.render import budget, compile_process, template
from mailshot.render.template import RenderError
from tests.render.material import VOCABULARY, compile_body, make, values

LONG = "{% set t = '<a>' %}" + "{% set t = t + t %}" * 11


def units(body: str) -> int:
    """Return the units that a body of HTML costs."""
    found = compile_body(body)
    budget.BUDGET.start_clock()
    found.parts[0].render({**values(), "_pixel": ""})
    return budget.MAX_UNITS - budget.BUDGET.left


@pytest.mark.parametrize(
    ("costly", "cheap", "least"),
    [
        ("{% for i in [1] %}{{ loop.cycle(*range(900)) }}{% endfor %}", "{% for i in [1] %}{{ i }}{% endfor %}", 900),
        ("{{ (0.1 ~ 0.2 ~ 0.3)|length }}", "{{ ('0.1' ~ '0.2' ~ '0.3')|length }}", 800),
        (LONG + "{{ [t]|striptags|length }}", LONG + "{{ [t]|length }}", 150_000),
        (LONG + "{{ {1: t}|striptags|length }}", LONG + "{{ [t]|length }}", 150_000),
        (LONG + "{{ [t]|replace('a', 'bbbb')|length }}", LONG + "{{ [t]|length }}", 900),
    ],
)
def test_work_is_charged_by_what_goes_into_it(costly: str, cheap: str, least: int) -> None:
    assert units(costly) - units(cheap) >= least


WORK = "{% for i in range(1000) %}{% if false %}" + "x" * 80 + "{% endif %}{% endfor %}"


def clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so many seconds pass between one look at the clock and the next."""
    ticks = count()

    class Time:
        @staticmethod
        def thread_time() -> float:
            return next(ticks) * seconds

    monkeypatch.setattr(budget, "time", Time)


def test_the_parts_of_a_mail_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compile_body(f"<p>{WORK}</p>", subject=WORK, m__body_txt=WORK)
    clock(monkeypatch, 0.3)
    assert found.render(values(), None).html
    clock(monkeypatch, 0.9)
    with pytest.raises(RenderError, match="more work"):
        found.render(values(), None)


def test_inlining_a_mail_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = template.compile_mail(make("<p>x</p>", m__settings_yaml="inline: each"), VOCABULARY)
    given: list[float] = []
    real = compile_process.run_job

    def run(kind: str, *arguments: Any, seconds: float) -> Any:
        given.append(seconds)
        return real(kind, *arguments, seconds=seconds)

    monkeypatch.setattr(compile_process, "run_job", run)
    for tick in (0.0, 5.0):
        clock(monkeypatch, tick)
        found.render(values(), None)
    assert given == [template.INLINE_SECONDS] * 2
