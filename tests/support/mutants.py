"""Rule files with mistakes: real files, and files that use the whole language, cut, doubled, swapped and indented.

Refuses to judge what becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from mailshot.audience.parse import conditions
from mailshot.documents import nodes
from mailshot.errors import Problem
from mailshot.facts import comparison, relative_dates
from mailshot.profile import activity

ROOT = Path(__file__).parents[2]
MAPPING = "rules/imports/complete-journey.yaml"
REAL = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("rules/**/*.yaml"))
}
EXAMPLES = [
    example
    for path in (*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md")
    for example in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
]
# What the shop's own files leave unsaid, so that every word of every kind of file gets its slips.
WHOLE = {
    "rules/facts.yaml": """
customer:
  age: {type: number, unit: years, help: How old}
  tier: {type: text, choices: [gold, silver, "1"]}
  kids_count: {type: text}
  born: {type: date}
  member: {type: boolean}
product:
  organic: {type: boolean}
event:
  viewed: {help: Looked at a page, facts: {seconds: {type: number}, page: {type: text}}}
  added: {}
interaction:
  agent: {type: text}
""",
    "rules/audiences/everything.yaml": """
audience: everything
description: Uses every word there is.
who:
  all:
    - everyone: yes
    - any: [{country: [NO, SE]}, {first_name: {starts_with: A}}, {last_name: {contains: é}}, {key: {ends_with: "1"}}]
    - not: {email: {known: no}}
    - at_least: 2
      of: [{lifecycle: [new, active]}, {consent: offers}, {share: 12.5%}, {audience: regulars}]
    - {age: {between: [18, 65]}, tier: gold, member: yes, born: {anniversary_in: 7 days, zone: customer}}
    - joined_at: {within: 30 days}
    - preference: {diet: vegetarian, says: no}
    - trait: {diet: vegetarian, confidence: 0.5}
    - bought: {department: PRODUCE, price: {at_most: 3}, within: 90 days, times: {at_least: 3}, amount: {more_than: 1}}
    - never_bought: {any_of: [{group: meat, except: {type: X}}, {brand: [A, B]}], between: [2026-01-01, 2026-03-31]}
    - bought: {channel: web, since: 2026-01-01, before: 30 days ago, days_since_last: {less_than: 9}, items: 2}
    - did: {event: viewed, seconds: {more_than: 3}, during: last month, zone: customer}
    - clicked: {campaign: spring, by: human, within: 3 months}
    - contacted: {kind: call, direction: in, outcome: {one_of: [sold, lost]}, agent: Ann}
    - was_referred: {within: 1 year}
    - never_opened: {since: this year}
    - bought: {average_order: {exactly: 5}, distinct_products: {between: [1, 3]}, days_since_first: 400}
""",
    "rules/campaigns/everything.yaml": """
campaign: everything
description: Every key.
topic: offers
sender: greenleaf
audience: everything
content:
  - {name: a, when: {any: [{country: NO}, {trait: {diet: vegetarian}}]}, template: market, offers: m,
     about: {group: meat}}
  - {name: b, template: weekly}
offers:
  m: {products: {any_of: [{department: DELI}, {group: meat}]}, take: 6, at_least: 3, bought_within: 90 days, fill: no}
schedule: {cron: "0 9 * * MON", zone: Europe/Oslo}
limits: {cap: {mails: 3, per: 7 days}, rate: 600}
holdout: 2.5%
goal: {products: {group: meat}, within: 14 days}
in_doubt: at_least_once
repeat: yes
as_of: 2026-03-31 09:00
""",
    "rules/company.yaml": """
brand: Shop
time_zone: Europe/Oslo
currency: NOK
link_hosts: [shop.example.com]
as_of: 2026-04-07 13:30
lifecycle: {new: 1 month, lapsing: 90 days, lapsed: 1 year}
""",
}  # fmt: skip
_ODD = [
    *"{}[]:,-?&*!|>'\"%@`#~\n\t \\=\r\x85\u2028\u00a0\ufeff\x00\x1b\ud800😀é",
    "---\n", "...\n", "<<: ", "<<: {a: b}\n", "&a ", "*a", "!!str ", "!x ", "? ", "- ", ": ", " #", "\\ud800", "\\0",
    "[]", "{}", "null", "-1", "0", "1e999", "nan", "9" * 40, "99999 years", "2026-02-30", "9999-12-31", "0001-01-01",
    "100.01%", "x" * 3000, "[" * 25, "{a: " * 25, "%TAG ! x\n", "{value: x}", "{column: x, format: '%Q'}", "{a}",
]  # fmt: skip
_WORDS = sorted(
    {
        *conditions.WORDS,
        *comparison.ORDERED,
        *comparison.TEXTUAL,
        *relative_dates.WORDS,
        *activity.MEASURES,
        "known",
        "zone",
        "says",
    }
    | set(re.findall(r"\w+", " ".join([*REAL.values(), *WHOLE.values()])))
)
_WORD = re.compile(r"\w+")


@st.composite
def slips(draw: st.DrawFn, text: str) -> str:
    """Give a text with one to four slips."""
    for _ in range(draw(st.integers(1, 4))):
        at, to = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        text = draw(st.sampled_from(_MADE))(draw, text, at, to)
    return text


def _cut(_draw: st.DrawFn, text: str, at: int, to: int) -> str:
    return text[:at] + text[to:] if to - at < 40 else text[:at]


def _double(_draw: st.DrawFn, text: str, at: int, to: int) -> str:
    return text[:to] + text[at:to][:400] + text[to:]


def _insert(draw: st.DrawFn, text: str, at: int, _to: int) -> str:
    return text[:at] + draw(st.sampled_from(_ODD)) + text[at:]


def _rename(draw: st.DrawFn, text: str, at: int, _to: int) -> str:
    match = _WORD.search(text, at)
    put = draw(st.sampled_from(_WORDS) | st.sampled_from(_ODD))
    return text[: match.start()] + put + text[match.end() :] if match else text + put


def _swap(draw: st.DrawFn, text: str, at: int, to: int) -> str:
    lines = text.split("\n")
    first, second = at % len(lines), to % len(lines)
    lines[first], lines[second] = lines[second], lines[first]
    return "\n".join(lines)


def _indent(draw: st.DrawFn, text: str, at: int, _to: int) -> str:
    lines = text.split("\n")
    lines[at % len(lines)] = draw(st.sampled_from(["", " ", "  ", "   ", "\t", "- "])) + lines[at % len(lines)].lstrip()
    return "\n".join(lines)


def _value(draw: st.DrawFn, text: str, at: int, _to: int) -> str:
    """Replace what stands behind a colon."""
    match = re.compile(r"(?<=: )[^\n,}]+").search(text, at)
    return text[: match.start()] + draw(st.sampled_from([*_ODD, *_WORDS])) + text[match.end() :] if match else text


_MADE = (_cut, _double, _insert, _rename, _rename, _swap, _indent, _value, _value)


def untrue(problems: tuple[Problem, ...] | list[Problem], texts: dict[str, str]) -> Iterator[Problem]:
    """Give the problems that name no file, no place in it, or speak another language than ours."""
    for problem in problems:
        lines = nodes.lines(texts[problem.file]) if problem.file in texts else []
        inside = 0 < problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        foreign = re.search(r"Input should|Field required|is not right|<[a-z ]+>|Traceback|None", problem.message)
        if problem.file not in texts or foreign or not (inside or (problem.line, problem.column) == (0, 0)):
            yield problem
