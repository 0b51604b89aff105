"""Measures rendering the starter mails against plain Jinja, and compiling a large template against premailer.

    python -m benchmarks.rendering [--rounds 15]

Per mail, ours checks links, exchanges them for click links, charges the sandbox's budget and writes the plain text; the
rival is Jinja itself, which renders the HTML and the subject of the same template. The large template has 100 KB, 900
cells and 270 rules; the rival is premailer, which inlines its HTML. Prints medians in milliseconds, and ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import jinja2
from premailer import Premailer

from mailshot.render import compiler, filters, sandbox, source
from mailshot.render.source import TemplateSource
from tests.render.material import NAMES, TEMPLATES, TRACKING, VOCABULARY, sample, starter

MAILS = 200
RULES = 200
CELLS = 450
MAX_COMPILE_SECONDS = 2.0


def main() -> int:
    """Measure both, and return 0 when the compile time keeps its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for name in NAMES:
        mail, values = starter(name), sample(name)
        plain = _plain(name)
        ours, tracked, jinja = measure(
            rounds,
            lambda mail=mail, values=values: mail.render(values, None),
            lambda mail=mail, values=values: mail.render(values, TRACKING),
            lambda plain=plain, values=values: _render(plain, values),
            repeat=MAILS,
        )
        print(
            f"{name}: {ours * 1000:.2f} ms, tracked {tracked * 1000:.2f} ms, Jinja {jinja * 1000:.2f} ms, "
            f"ratios {ours / jinja:.2f} and {tracked / jinja:.2f}",
            flush=True,
        )
    html = large_template()
    files = TemplateSource("m", {"m/subject.txt": "x", "m/body.html": html})
    compiling, inlining = measure(
        max(3, rounds // 3),
        lambda: compiler.compile_source(files, VOCABULARY, frozenset()),
        lambda: Premailer(html, allow_network=False, cssutils_logging_level=50).transform(),
        repeat=1,
    )
    print(
        f"large template ({len(html) // 1024} KB): compiled in {compiling:.2f} s (budget {MAX_COMPILE_SECONDS}), "
        f"premailer {inlining:.2f} s, ratio {compiling / inlining:.2f}"
    )
    return 0 if compiling <= MAX_COMPILE_SECONDS else 1


def measure(rounds: int, *calls: Callable[[], object], repeat: int) -> list[float]:
    """Return the median CPU seconds of one call of each; they take turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, taken in zip(calls, seconds, strict=True):
            begun = time.process_time()
            for _ in range(repeat):
                call()
            if number:  # the first round fills caches
                taken.append((time.process_time() - begun) / repeat)
    return [statistics.median(taken) for taken in seconds]


def large_template() -> str:
    """Return a template of about 100 KB."""
    rules = [
        f".c{i}{{color:#{i % 10}{i % 10}{i % 10};padding:{i % 9}px;font-size:{10 + i % 9}px}}" for i in range(RULES)
    ]
    narrow = [f".c{i}{{padding:0 !important;width:100%}}" for i in range(0, RULES, 3)]
    style = "\n".join([*rules, "@media (max-width:480px){", *narrow, "}"])
    rows = [_row(number) for number in range(CELLS)]
    head = f'<!doctype html><html lang="en"><head><style>{style}</style></head>'
    return f"{head}<body><table>{''.join(rows)}</table></body></html>"


def _row(number: int) -> str:
    classes = [f"c{number * factor % RULES}" for factor in (1, 7, 3, 11)]
    link = f'<a href="https://shop.example/p/{number}" class="{classes[3]}">Product {number}</a>'
    inner = f'<table role="presentation"><tr><td class="{classes[2]}">{link}</td></tr></table>'
    return f'<tr><td class="{classes[0]} {classes[1]}" align="left" width="100">{inner}</td></tr>'


def _render(templates: list[jinja2.Template], values: Mapping[str, object]) -> None:
    sandbox.BUDGET.reset()
    for template in templates:
        template.render(values)


def _plain(name: str) -> list[jinja2.Template]:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.DictLoader(dict(source.read(TEMPLATES, name).files)),
        undefined=jinja2.StrictUndefined,
        finalize=sandbox.finalize,
    )
    environment.filters.update(filters.OWN)
    return [environment.get_template(f"{name}/{part}") for part in ("body.html", "subject.txt")]


if __name__ == "__main__":
    sys.exit(main())
