"""Apart from styles, a compiled mail says exactly what plain Jinja makes of the same files."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot.render import filters, sandbox, source
from tests.render.material import NAMES, TEMPLATES, compile_body, sample, starter, values

STYLED = {"style", "bgcolor", "width", "height", "align", "valign"}
"""Attributes the inliner writes."""
PREHEADER = re.compile(r'<div style="display:none;[^>]*>.*?</div>', re.DOTALL)
"""What comes from preheader.txt."""
Event = tuple[str, object]


class Reading(HTMLParser):
    """What a page holds, in order: tags with their other attributes, texts, comments; not its style sheets."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.events: list[Event] = []
        self._sheet = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._sheet = tag == "style"
        if not self._sheet:
            self.events.append((tag, sorted((name, value or "") for name, value in attrs if name not in STYLED)))

    def handle_endtag(self, tag: str) -> None:
        self._sheet = False
        if tag != "style":
            self.events.append(("/", tag))

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._sheet:
            self.events.append(("text", " ".join(data.split())))

    def handle_comment(self, data: str) -> None:
        self.events.append(("comment", " ".join(data.split())))


def plain(files: dict[str, str], name: str, known: dict[str, object]) -> str:
    """Render with Jinja itself, which follows extends, include and import in its own way."""
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.DictLoader(files), undefined=jinja2.StrictUndefined, finalize=sandbox.finalize
    )
    environment.filters.update(filters.OWN)
    sandbox.BUDGET.reset()
    return environment.get_template(name).render(known)


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_mails_say_what_jinja_says(name: str) -> None:
    known = dict(sample(name))
    expected = plain(dict(source.read(TEMPLATES, name).files), f"{name}/body.html", known)
    html = PREHEADER.sub("", starter(name).render(known, None).html)
    assert Reading(html).events == Reading(expected).events


WORDS = st.sampled_from(
    [
        "{{ customer.first_name }}",
        "{{ campaign.name|upper }}",
        "{{ customer.household_size < 5 }}",
        "<b>bold</b>",
        "<i title=\"{{ campaign.name }} > &quot;\">i</i>",
        "<a href='https://x.example/?{{ campaign.name|urlencode }}&amp;x=1#é'>a</a>",
        "&nbsp;&lt;b&gt;&copy; é",
        "<!-- {{ campaign.name }} {% if 1 %}y{% endif %} -->",
        "{{ '<' ~ campaign.name }}",
        "<br><img src='https://x.example/i.png' alt='{{ campaign.name }}'>",
        "{% raw %}{{ x }}{% endraw %}",
        "{# never #}",
        "\n  text\n",
    ]
)  # fmt: skip
AROUND = st.sampled_from(
    [
        "{}",
        "{{% if customer.household_size > 3 %}}{}{{% else %}}<u>no</u>{{% endif %}}",
        "{{% for offer in offers %}}<p>{{{{ offer.name }}}} {}</p>{{% endfor %}}",
        "<table><tbody>{{% for offer in offers %}}<tr><td>{}</td></tr>{{% endfor %}}</tbody></table>",
        "{{% set y = offers|length %}}<p>{{{{ y }}}}{}</p>",
        "<div>{}</div>",
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(AROUND, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_well_nested_body_says_what_jinja_says(parts: list[tuple[str, list[str]]]) -> None:
    inner = "".join(around.format("".join(words)) for around, words in parts)
    body = f'<!doctype html><html lang="en"><head><title>t</title></head><body>{inner}</body></html>'
    known = values(campaign={"name": "C & <D>"})
    expected = plain({"m/body.html": body}, "m/body.html", known)
    assert Reading(compile_body(body).render(known, None).html).events == Reading(expected).events


@pytest.mark.parametrize(
    "expression",
    [
        "offers|map(attribute='name')|join(', ')",
        "offers|map(attribute='name')|map('upper')|join(', ')",
        "offers|map(attribute='name')|select|list|length",
        "offers|selectattr('name', 'ne', 'name 1')|map(attribute='key')|list",
        "offers|rejectattr('name', 'in', ['name 1', 'name 2'])|map(attribute='key')|join",
        "(offers|selectattr('name')|first).name",
        "offers|groupby('department')|map('first')|join(' ')",
        "offers|sort(attribute='name', reverse=true)|map(attribute='name')|listing",
        "offers|batch(2)|map('length')|join(' ')",
        "offers|slice(2)|map('length')|list",
        "offers|map(attribute='name')|unique|max",
        "offers|map(attribute='name')|reverse|join",
        "range(5)|sum",
        "range(5)|select('odd')|map('string')|join",
        "'a b c'.split()|map('capitalize')|join",
        "'abc'[1:] ~ [1, 2][::-1]|join",
        "[[1, 2], [3, [4]]]|string",
        "{'a': [1]}.items()|list",
        "customer.get('first_name', 'x')",
        "(1, 2) == (1, 2) and 1 in [1] and 'os' in customer.first_name and 1 < 2 < 3",
        "customer.first_name is string and [1] is iterable and 4 is divisibleby(2)",
        "customer.first_name|default('you')|replace('R', 'P')|truncate(3, true, '')",
        "'<b>&</b>'|striptags|e",
    ],
)
def test_an_expression_says_what_jinja_says(expression: str) -> None:
    body = f"<html><body><p>{{{{ {expression} }}}}</p></body></html>"
    expected = plain({"m/body.html": body}, "m/body.html", values())
    assert Reading(compile_body(body).render(values(), None).html).events == Reading(expected).events
