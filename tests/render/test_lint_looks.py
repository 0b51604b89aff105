"""What check says about contrast, links, subjects, preheaders and placeholders."""

from __future__ import annotations

import pytest

from mailshot.render.lint import Finding
from mailshot.render.lint_contrast import contrast
from tests.render.material import compile_body

UNSUBSCRIBE = "{{ links.unsubscribe }}"


def findings(body: str, words: str, style: str = "", **files: str) -> list[Finding]:
    """Return the findings about a body that contain these words."""
    html = f'<!doctype html><html lang="en"><head><style>{style}</style></head><body>\n{body}</body></html>'
    return [finding for finding in compile_body(html, **files).findings if words in finding.message]


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    assert contrast((255, 255, 255), (255, 0, 0)) == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize(
    ("body", "style", "words"),
    [
        ('<p style="color: #999">Fresh</p>', "", "'Fresh' is hard to read: #999999 on #ffffff has a contrast of 2.8"),
        ("<p>Fresh</p>", "p { color: #999 }", "#999999 on #ffffff"),
        ('<table bgcolor="#222222"><tr><td style="color: #555">x</td></tr></table>', "", "#555555 on #222222"),
        ('<table bgcolor="222222"><tr><td>x</td></tr></table>', "", "#000000 on #222222"),
        ('<div class="a"><p>x</p></div>', ".a { background: #eee } p { color: #aaa }", "#aaaaaa on #eeeeee"),
        ('<p><font color="#bbbbbb">x</font></p>', "", "#bbbbbb on #ffffff"),
        ('<a href="https://shop.example/" style="color: yellow">Shop</a>', "", "#ffff00 on #ffffff"),
        ('<h1 style="color: #aaa">x</h1>', "", "3 is needed"),
        ('<p style="color: #999">{{ customer.first_name }} & co</p>', "", "'… & co'"),
        ("<p>x</p>", "p { color: #999 } a:hover, p:hover { color: #000 }", "#999999"),
        ("<p>x</p>", "p { color: #999 } @media (prefers-color-scheme: dark) { p { color: #fff } }", "#999999"),
    ],
)
def test_text_that_hardly_stands_out_is_told(body: str, style: str, words: str) -> None:
    [finding] = findings(body, "hard to read", style)
    assert words in finding.message
    assert (finding.level, finding.place.line) == ("warning", 2)


@pytest.mark.parametrize(
    ("body", "style"),
    [
        ('<p style="color: #767676">x</p>', ""),
        ('<h1 style="color: #888">x</h1>', ""),
        ('<p style="color: #888; font-size: 19px; font-weight: bold">x</p>', ""),
        ('<p style="color: #888; font-size: 18pt">x</p>', ""),
        ('<p style="color: #888; font-size: large">x</p>', ""),
        ('<p style="color: #999">· →</p>', ""),
        ('<p style="color: #999" aria-hidden="true">x</p>', ""),
        ('<div style="display: none; color: #fff">x</div>', ""),
        ('<div style="color: #fefefe; font-size: 1px">x</div>', ""),
        ('<div style="color: #fff; background-image: url(https://shop.example/a.png)">x</div>', ""),
        ('<table background="https://shop.example/a.png"><tr><td style="color: #fff">x</td></tr></table>', ""),
        ('<div style="color: #fff; background: linear-gradient(#000, #222)">x</div>', ""),
        ('<div style="color: #fff; background: rgba(0, 0, 0, .5)">x</div>', ""),
        ('<div style="color: #fff; background: var(--x, #000)">x</div>', ""),
        ('<p style="color: var(--x, #999)">x</p>', ""),
        ('<p style="color: #999; opacity: .9">x</p>', ""),
        ('<div style="position: relative"><p style="position: absolute; color: #fff">x</p></div>', ""),
        ('<table bgcolor="{{ customer.first_name }}"><tr><td style="color: #999">x</td></tr></table>', ""),
        ('<p lang="{{ customer.language }}">x</p>', "[lang=ar] { background: #000 } p { color: #aaa }"),
        ('<p>x</p>{% if offers %}<p class="b">y</p>{% endif %}', "p + p { color: #999 }"),
        ('<div style="background: #000"><p style="color: #fff">x</p></div>', ""),
        ('<div bgcolor="#fff" style="background: #000"><a style="color: #fff" href="#top">x</a></div>', ""),
        ('<p style="color: #999">x</p>', "p { color: #000 !important }"),
    ],
)
def test_text_whose_contrast_is_enough_or_unknown_is_fine(body: str, style: str) -> None:
    assert not findings(body, "hard to read", style)


def test_a_pair_of_colours_is_told_once() -> None:
    [finding] = findings("<p>One</p>\n<p>Two</p><p>Three</p>", "hard to read", "p { color: #999 }")
    assert "'One' (and 2 more)" in finding.message


@pytest.mark.parametrize("text", ["Click here", "Read more »", "hier", "En savoir plus", "haz clic aquí", "Klikk her!"])
def test_a_link_text_that_says_nothing_is_told(text: str) -> None:
    [finding] = findings(f'<a href="https://shop.example/">{text}</a>', "does not say where")
    assert (finding.level, finding.place.line) == ("warning", 2)


def test_a_link_text_is_told_once() -> None:
    link = '<a href="https://shop.example/">more</a>'
    [finding] = findings(link * 3, "does not say where")
    assert "'more' (and 2 more)" in finding.message


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://shop.example/">Read more about apples</a>',
        '<a href="https://shop.example/" aria-label="Apples">Read more</a>',
        '<a href="https://shop.example/">{{ customer.first_name }}</a>',
        '<a data-no-track href="https://shop.example/">shop.example</a>',
        '<a data-no-track href="https://www.shop.example/a?b=1">https://shop.example</a>',
        '<a data-no-track href="https://news.shop.example/">www.shop.example/apples</a>',
        '<a href="mailto:hello@shop.example">hello@shop.example</a>',
        '<a href="https://nodejs.org/">Node.js</a>',
        '<a href="https://shop.example/"><img src="https://shop.example/a.png" alt="Apples"></a>',
        '<a href="https://shop.example/"><img src="https://shop.example/a.png" alt=""> Apples</a>',
    ],
)
def test_a_link_that_says_where_it_leads_is_fine(body: str) -> None:
    assert all("unsubscribe" in finding.message for finding in findings(body, "link"))


@pytest.mark.parametrize("text", ["https://bank.example", "www.bank.example/login", "bank.example"])
def test_a_link_that_shows_another_address_is_told(text: str) -> None:
    [finding] = findings(f'<a href="https://shop.example/">{text}</a>', "phishing")
    assert (finding.level, finding.place.line) == ("warning", 2)
    assert "'shop.example'" in finding.message


@pytest.mark.parametrize("text", ["https://shop.example/a", "www.shop.example", "shop.example"])
def test_a_link_text_that_click_tracking_makes_wrong_is_told_once(text: str) -> None:
    link = f'<a href="https://shop.example/a">{text}</a>'
    [finding] = findings(link * 2, "data-no-track")
    assert (finding.level, finding.place.line) == ("warning", 2)
    assert f"'{text}' (and 1 more)" in finding.message


@pytest.mark.parametrize("style", ["{{ customer.first_name }}", "color: {{ customer.first_name or '#999' }}"])
def test_looks_are_checked_on_rendered_mails_where_styles_are_inlined_for_each(style: str) -> None:
    body = f'<p style="{style}" class="a">Fresh</p><p class="u"><a href="{UNSUBSCRIBE}">Unsubscribe</a></p>'
    each = {"m__settings_yaml": "inline: each"}
    [contrast] = findings(body, "'Fresh' is hard to read", ".a { color: #999 }", **each)
    assert (contrast.level, str(contrast.place)) == ("warning", "templates/m/body.html")
    [hidden] = findings(body, "unsubscribe link is hidden", ".u { display: none }", **each)
    assert (hidden.level, hidden.bulk) == ("error", True)
    assert not findings(body, "is hidden", "", **each)
    theme = (
        f'<p style="background: {{{{ customer.first_name }}}}"><a style="color: #fff" href="{UNSUBSCRIBE}">x</a></p>'
    )
    assert not findings(theme, "is hidden", **each), "the background is not known"
    some = "{% if customer.first_name %}.u { display: none }{% endif %}"
    assert not findings(body, "is hidden", some, **each), "only for some"


def test_a_link_of_a_mute_picture_is_told() -> None:
    body = '<a href="https://shop.example/"><img src="https://shop.example/a.png" alt=""></a>'
    [finding] = findings(body, "empty alt text")
    assert (finding.level, finding.place.line) == ("warning", 2)


@pytest.mark.parametrize(
    "link",
    [
        f'<div style="display: none"><a href="{UNSUBSCRIBE}">Unsubscribe</a></div>',
        f'<a class="gone" href="{UNSUBSCRIBE}">Unsubscribe</a>',
        f'<p style="font-size: 0"><a href="{UNSUBSCRIBE}">Unsubscribe</a></p>',
        f'<a style="color: #fff" href="{UNSUBSCRIBE}">Unsubscribe</a>',
        f'<table bgcolor="#eee"><tr><td><a style="color: #eee" href="{UNSUBSCRIBE}">Unsubscribe</a></td></tr></table>',
        f'<p style="opacity: 0"><a href="{UNSUBSCRIBE}">Unsubscribe</a></p>',
        f'<p style="max-height: 0; overflow: hidden"><a href="{UNSUBSCRIBE}">Unsubscribe</a></p>',
    ],
)
def test_a_hidden_link_to_unsubscribe_is_an_error(link: str) -> None:
    [finding] = findings(link, "unsubscribe link is hidden", ".gone { visibility: hidden }")
    assert (finding.level, finding.bulk, finding.place.line) == ("error", True, 2)


@pytest.mark.parametrize(
    "body",
    [
        f'<a href="{UNSUBSCRIBE}">Unsubscribe</a>',
        f'<a style="display: none" href="{UNSUBSCRIBE}">Unsubscribe</a><a href="{UNSUBSCRIBE}">Unsubscribe</a>',
        f'<p style="font-size: 0"><a style="font-size: 13px" href="{UNSUBSCRIBE}">Unsubscribe</a></p>',
        f'<p style="font-size: 0"><a href="{UNSUBSCRIBE}"><img src="https://shop.example/a.png" alt="Leave"></a></p>',
    ],
)
def test_a_link_to_unsubscribe_that_is_seen_is_fine(body: str) -> None:
    assert not findings(body, "hidden")


def texts(subject: str, preheader: str | None = None, body: str = "<p>x</p>") -> list[str]:
    """Return the beginnings of the findings about texts."""
    html = f'<html lang="en"><head></head><body>{body}</body></html>'
    files = {} if preheader is None else {"m__preheader_txt": preheader}
    mail = compile_body(html, subject, **files)
    return [finding.message for finding in mail.findings if finding.level == "warning"]


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("Apples, pears, plums, carrots, beets, and everything else you like", "has 66 characters"),
        ("{% if customer.first_name %}" + "a" * 70 + "{% else %}b{% endif %}", "has 70 characters"),
        ("LAST CHANCE TODAY", "all capitals"),
        ("Re: your order", "reply or forwarded"),
        ("FWD: apples", "reply or forwarded"),
        ("Apples! Pears!", "several exclamation marks"),
        ("Hello *|FNAME|*", "placeholder of another program"),
        ("Hello %%FIRST%%", "placeholder of another program"),
        ("Hello [First name]", "placeholder that was not filled in"),
        ("Lorem ipsum dolor", "dummy text"),
    ],
)
def test_a_subject_that_is_cut_or_distrusted_is_told(subject: str, words: str) -> None:
    [message] = texts(subject)
    assert words in message


@pytest.mark.parametrize(
    "subject",
    [
        "{% if customer.first_name %}{{ customer.first_name }}, your{% else %}Your{% endif %} vegetables for the week",
        "{% if customer.first_name %}" + "a" * 50 + "{% else %}" + "b" * 50 + "{% endif %}",
        "Fresh from the NHS!",
        "RSVP",
        "Regards: apples",
        "[NEWS] Apples are back",
        "50%% off",
        "今日のおすすめ、全部お得です",
    ],
)
def test_a_usual_subject_is_fine(subject: str) -> None:
    assert texts(subject) == []


@pytest.mark.parametrize(
    ("preheader", "words"),
    [
        ("Apples are BACK", "repeats the subject"),
        ("So sweet", "has 8 characters"),
        ("a " * 80, "has 159 characters"),
        ("Dear *|FNAME|*, the apples of this year are here.", "placeholder of another program"),
    ],
)
def test_a_preheader_without_use_is_told(preheader: str, words: str) -> None:
    assert any(words in message for message in texts("Apples are back", preheader))


@pytest.mark.parametrize(
    "preheader",
    [
        "",
        "{{ customer.first_name }}",
        "The apples of this year are here, and so are the pears.",
        "{% if offers %}So sweet{% endif %} and fresh from the tree this very morning",
    ],
)
def test_a_usual_preheader_is_fine(preheader: str) -> None:
    assert texts("Apples are back", preheader) == []


def test_placeholders_in_a_body_are_told_but_not_those_in_comments_and_styles() -> None:
    body = "<!-- *|MC:SUBJECT|* --><p>Dear *|FNAME|*,\nDear *|FNAME|* and [[name]]</p>"
    assert [message.split(" ")[0] for message in texts("Apples", None, body)] == ["'*|FNAME|*'", "'[[name]]'"]
