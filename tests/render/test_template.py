"""What goes through the inliner comes out as it was written, and only the styles have moved."""

from __future__ import annotations

import re

import pytest

from mailshot.errors import InvalidInput
from tests.render.material import NAMES, TRACKING, compile_body, sample, starter, values


def test_a_loop_in_a_table_stays_where_it_was_written() -> None:
    body = "<table>{% for offer in offers %}<tr><td>{{ offer.key }}</td></tr>{% endfor %}</table>"
    assert (
        body.replace("{% for offer in offers %}<tr><td>{{ offer.key }}</td></tr>{% endfor %}", "") == "<table></table>"
    )
    html = compile_body(f"<html><body>{body}</body></html>").render(values(), None).html
    assert "<table><tr><td>key 1</td></tr><tr><td>key 2</td></tr><tr><td>key 3</td></tr></table>" in html


def test_comparisons_and_quotes_in_tags_survive() -> None:
    body = """<p title='{{ "a>b" }}'>{% if customer.household_size < 9 and 1 > 0 %}few{% endif %}</p>"""
    html = compile_body(f"<html><body>{body}</body></html>").render(values(), None).html
    assert "<p title='a&gt;b'>few</p>" in html


@pytest.mark.parametrize(
    "written",
    [
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">',
        "@media (max-width: 480px) { .a { color: blue !important } }",
        "@media (prefers-color-scheme: dark) { .a { color: white !important; } .b > td:first-child { top: 0 } }",
        ".a:hover { color: green !important }",
        "<!--[if mso]><v:rect style='a:b' xmlns:v=\"urn:x\"><![endif]-->",
        "<!--[if !mso]><!--><i>x</i><!--<![endif]-->",
        "Fish&nbsp;&amp;&#8202;chips &mdash; &lt;fresh&gt; caf&eacute; &zwnj;&#847;",
        "日本語 ünï 😀",
        '<img src="https://a.example/ü b.png?x=1&amp;y=2" alt="a &quot;b&quot;">',
        "<a name=\"a&amp;b\" data-x='1'>",
        "<title>a &amp; {{ b }}</title>".replace("{{ b }}", "b"),
    ],
)
def test_it_survives_to_the_byte(written: str) -> None:
    head = written if written.startswith("<!DOCTYPE") else "<!doctype html>"
    style = f"<style>.a {{ color: red }} {written}</style>" if written[0] in "@." else ""
    title = written if written.startswith("<title") else ""
    inner = "" if style or title or written == head else written
    body = f'{head}<html lang="en"><head>{title}{style}</head><body><p class="a">x</p>{inner}</body></html>'
    assert written in compile_body(body).render(values(), None).html.replace('data-x="1"', "data-x='1'")


def test_rules_are_inlined_and_their_sheet_stays() -> None:
    style = "<style>.a { color: red } td.b { top: 0 !important }</style>"
    html = compile_body(f"<html><head>{style}</head><body><p class=a>x</p></body></html>").render(values(), None).html
    assert '<p class=a style="color:red">x</p>' in html
    assert style in html


def test_a_state_shared_with_plain_selectors_is_left_alone() -> None:
    body = "<html><head><style>a, a:hover { color: red }</style></head><body><a href='#x'>x</a></body></html>"
    html = compile_body(body).render(values(), None).html
    assert """<a href='#x' style="color:red">""" in html
    assert "<style>a, a:hover { color: red }</style>" in html


def test_layout_include_macro_and_super_become_one_document() -> None:
    html = (
        compile_body(
            "{% extends '_base/l.html' %}{% from '_base/m.html' import shout as say %}"
            "{% block main %}{{ super() }}{% for offer in offers[:2] %}{{ say(offer.key) }}{% endfor %}{% endblock %}",
            _base__l_html="<html><head><style>b { color: red }</style></head><body>"
            "{% block main %}<p>up</p>{% endblock %}"
            "{% include '_base/f.html' %}</body></html>",
            _base__m_html="{% macro shout(what, mark='!') %}<b>{{ what|upper }}{{ mark }}</b>{% endmacro %}",
            _base__f_html="<i>{{ campaign.name }}</i>",
        )
        .render(values(), None)
        .html
    )
    assert '<p>up</p><b style="color:red">KEY 1!</b><b style="color:red">KEY 2!</b><i>Week</i>' in html


def test_inlining_each_mail_allows_a_class_of_the_customer() -> None:
    body = (
        "<html><head><style>.vegetarian { color: green } @media print { p { top: 0 } }</style></head><body>"
        '<p class="{{ traits.diet }}">x</p><a href="https://x.example/?a=1&amp;b=2">y</a></body></html>'
    )
    mail = compile_body(body, m__settings_yaml="inline: each\n")
    html = mail.render(values(), TRACKING).html
    assert mail.per_mail_inlining
    assert '<p class="vegetarian" style="color:green">x</p>' in html
    assert "@media print { p { top: 0 } }" in html
    assert "https://go.example/c/" in html


def test_an_unknown_customer_fact_prints_nothing() -> None:
    hello = "Hi {{ customer.first_name }}"
    mail = compile_body(f"<html><body><p>{hello}!</p></body></html>", hello)
    rendered = mail.render(values(customer={"first_name": None}), None)
    assert "<p>Hi !</p>" in rendered.html
    assert rendered.subject == "Hi"


def test_the_text_is_drawn_from_the_html_with_its_tags() -> None:
    rendered = compile_body(
        "<html><body><div style='display:none'>pre</div><table>"
        "{% for offer in offers[:2] %}<tr><td>{{ offer.key }}</td>"
        "<td><a href='{{ offer.url }}'>See &amp; buy</a></td></tr>{% endfor %}</table>"
        "<p>Bye{% if customer.first_name %}, {{ customer.first_name }}{% endif %}.</p></body></html>"
    ).render(values(customer={"first_name": "R&D <x>"}), None)
    lines = [line for line in rendered.text.splitlines() if line]
    url = "https://shop.greenleaf.example/p/{}?a=1&b=2#top"
    assert lines == [
        f"key 1 | See & buy <{url.format(0)}>",
        f"key 2 | See & buy <{url.format(1)}>",
        "Bye, R&D <x>.",
    ]


def test_an_authors_own_text_wins() -> None:
    text = compile_body("<html><body>html</body></html>", m__body_txt="Dear {{ customer.first_name }} & co\n")
    assert text.render(values(), None).text == "Dear Rosa & co\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_mails_are_clean_and_light(name: str) -> None:
    mail = starter(name)
    rendered = mail.render(sample(name), TRACKING)
    assert mail.findings == ()
    assert "zq" not in rendered.html + rendered.text
    assert "{%" not in rendered.html
    assert "prefers-color-scheme: dark" in rendered.html
    assert "<!--[if mso]>" in rendered.html
    assert len(rendered.html) < 30_000
    assert rendered.links


@pytest.mark.parametrize("name", NAMES)
def test_the_starter_mails_greet_the_nameless(name: str) -> None:
    known = sample(name)
    nobody = {**known, "customer": {"first_name": None, "household_size": None}, "offers": []}
    rendered = starter(name).render(nobody, None)
    assert "None" not in rendered.html + rendered.text + rendered.subject


@pytest.mark.parametrize("name", NAMES)
def test_no_starter_mail_shows_the_campaigns_internal_name(name: str) -> None:
    mail = starter(name)
    assert "campaign.name" not in mail.facts
    assert "INTERNAL" not in mail.render({**sample(name), "campaign": {"name": "INTERNAL"}}, None).html


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_mail_shows_products_without_an_address_without_a_link(name: str) -> None:
    given = dict(sample(name))
    products = [dict(offer) for offer in given.get("offers", ())]  # type: ignore[call-overload]
    rendered = starter(name).render({**given, "offers": [{**offer, "url": None} for offer in products]}, TRACKING)
    for offer in products:
        assert re.split(r"\W", str(offer["name"]).lower())[0] in rendered.text.lower()
    assert not [link for link in rendered.links if any(link.url == offer["url"] for offer in products)]


def test_a_preheader_stands_hidden_before_the_body_and_is_plain_text() -> None:
    body = "<html><head><title>t</title></head><body class='x'><p>Hello</p></body></html>"
    mail = compile_body(body, m__preheader_txt="{{ customer.first_name }}, fish & <chips>\n")
    rendered = mail.render(values(customer={"first_name": "R&D"}), None)
    assert re.search(
        r"<body class='x'><div style=\"display:none;[^>]*>R&amp;D, fish &amp; &lt;chips&gt;", rendered.html
    )
    assert rendered.text == "Hello\n"


def test_an_empty_preheader_leaves_the_mail_as_it_is() -> None:
    body = "<html><body><p>Hello</p></body></html>"
    empty = compile_body(body, m__preheader_txt="{% if traits.diet == 'x' %}y{% endif %}\n")
    assert empty.render(values(), None).html == body


def test_a_mistake_in_a_preheader_has_its_place() -> None:
    with pytest.raises(InvalidInput, match=r"m/preheader.txt:1:13: Unknown fact 'customer.nme'"):
        compile_body("<p>x</p>", m__preheader_txt="{{ customer.nme }}")
