"""A tag with an odd sign is refused: parsers differ about what it is, so nothing in it could be checked."""

from __future__ import annotations

import pytest

from mailshot import errors
from tests.render.material import TRACKING, compile_body, values

VALUE = "{{ customer.first_name }}"
ODD = [
    f'<a title=< href="{VALUE}">x</a>',
    f'<img title=< srcset="{VALUE} 2x">',
    f'<b title=< onclick="{VALUE}">x</b>',
    f'<a title=a" href={VALUE}>x</a>',
    f'<p style=color:{VALUE} a">x</p>',
    f"<iframe srcdoc={VALUE} title=<></iframe>",
    f'<meta http-equiv=refresh content="0;url={VALUE}" title=<>',
    "<a title=it's href='{{ offers[0].url }}'>x</a>",
    f"<a href={VALUE}",
    f'</a title=" href={VALUE}>',
    f'<a"title=" href={VALUE}>x</a>',
    f'<style title=a" onload={VALUE}></style>',
    f"<title onclick={VALUE} a'>x</title>",
]
HONEST = [
    "<p>2 < 3, I <3 you, <- and <= and a<1 and </3</p>",
    "<p title='a < b > c' lang=en class = \"x\" hidden data-a>x</p>",
    '<img alt="it\'s" src=https://shop.greenleaf.example/a.png?a=1&b=2 /><br/><hr />',
    "<img src='https://shop.greenleaf.example/a.png' alt=><p title= >x</p>",
    "<a title=\"5'\" href='{{ offers[0].url }}'>x</a>",
    "<!-- a note: it's <b and <a title=< x -->",
    "<o:p>x</o:p><v:fill type='tile'/>",
]


@pytest.mark.parametrize("tag", ODD)
@pytest.mark.parametrize("around", ["{}", "<!--[if mso]>{}<![endif]-->", "<table><tr><td>\n{}"])
def test_an_odd_tag_is_refused_with_its_place(tag: str, around: str) -> None:
    with pytest.raises(errors.InvalidInput) as refusal:
        compile_body(f"<html><body>{around.format(tag)}</body></html>")
    problem = refusal.value.problems[0]
    assert "where none may stand" in problem.message or "has no end" in problem.message
    assert problem.line == around.count("\n") + 1
    assert "in quotes" in problem.remedy
    assert "&lt;" in problem.remedy


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_is_left_alone(text: str) -> None:
    assert compile_body(f"<html><body>{text}</body></html>").render(values(), TRACKING).html


def test_the_place_is_that_of_the_odd_sign() -> None:
    with pytest.raises(errors.InvalidInput) as refusal:
        compile_body("<p>\n<a href='#'\n  title=it's>x</a>")
    assert (refusal.value.problems[0].line, refusal.value.problems[0].column) == (3, 11)


@pytest.mark.parametrize("name", ["style", "title", "textarea"])
def test_the_attributes_of_elements_of_text_are_checked(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="script must not"):
        compile_body(f"<html><{name} onclick='{VALUE}'>x</{name}></html>")


def test_a_link_without_quotes_in_a_comment_for_outlook_is_checked_and_counted() -> None:
    with pytest.raises(errors.InvalidInput, match="must begin with"):
        compile_body("<!--[if mso]><v:rect href=javascript:x><![endif]-->")
    found = compile_body("<!--[if mso]><v:rect href={{ offers[0].url }}></v:rect><![endif]-->")
    assert len(found.render(values(), TRACKING).links) == 1


def test_very_many_odd_tags_are_refused_at_once() -> None:
    with pytest.raises(errors.InvalidInput, match=r"where none may stand|has no end"):
        compile_body("<a '" * 50_000 + "<a <" * 10_000)
