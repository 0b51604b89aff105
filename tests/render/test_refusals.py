"""A template that cannot be right is refused as a whole, at the author's own line and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mailshot import errors
from mailshot.render import source
from tests.render.material import TEMPLATES, compile_body, values


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("<p>\n {{ customer.§frist_name }}</p>", "Did you mean 'first_name'?"),
        ("{% for offer in offers %}\n{{ offer.§nam }}{% endfor %}", "Did you mean 'name'?"),
        ("{% for a in offers|batch(2) %}{% for b in a %}\n{{ b.§x }}{% endfor %}{% endfor %}", "'b.x'"),
        ("\n{{ offers|map(attribute=§'nmae')|join }}", "Did you mean 'name'?"),
        ("\n{{ offers[0][§'nmae'] }}", "Did you mean 'name'?"),
        ("\n\n {{ §custmer.first_name }}", "Did you mean 'customer'?"),
        ("{% if customer.first_name §%}\nx", "end of template"),
        ("a\n{{ customer.first_name | §}}", "expected token"),
        ("{{ §'open }}", "unexpected char"),
        ('<p class="x\n§{{ traits.diet }}">', "class that depends"),
        ("<p id='§{{ traits.diet }}'>", "id that depends"),
        ('<p style="color: §{{ traits.diet }}">', "style that depends"),
        ("<style>p { color: §{{ traits.diet }} }</style>", "style that depends"),
        ("<p §{% if traits.diet %}hidden{% endif %}>x</p>", "between attributes"),
        ("§{% extends customer.language %}", "plain file name"),
        ("§{% include ['a.html', 'b.html'] %}", "plain file name"),
        ("{% include §'foot.html' %}", "There is no file 'foot.html'"),
        ("{{ §lipsum(n=9) }}", "lipsum"),
        ("{% for i in [1] %}\n{{ loop.cycle(*[§_manner]) }}{% endfor %}", "Unknown word '_manner'"),
        ("{% for i in [1] %}\n{{ loop.cycle(*[customer.§nme]) }}{% endfor %}", "Unknown fact 'customer.nme'"),
        ("{{ range(*[1]|§nosuch) }}", "no filter 'nosuch'"),
        ("{{ customer.get(**§nosuch) }}", "Unknown word 'nosuch'"),
        ("{{ customer.first_name|§safe }}", "no filter 'safe'"),
        ("{{ '%d'|§format(1) }}", "no filter 'format'"),
        ("{% §autoescape false %}{% endautoescape %}", "Escaping"),
        ("{{ §customer }}", "group of facts"),
        ("{{ §2 ** 9 }}", "Powers"),
        ("{{ customer.first_name.§__class__ }}", "not a fact"),
        ("{{ offers.§name }}", "'offers' is a list"),
        ("<p onclick='§{{ traits.diet }}'>", "A script must not"),
        ("<script>§{{ traits.diet }}</script>", "A script must not"),
        ("<img §src='x{{ traits.diet }}'>", "must begin with"),
        ("<!--[if mso]><v:rect §href='javascript:x'><![endif]-->", "must begin with"),
        ("{{ self§.x() }}", "self"),
        ("{% for o in offers %}{{ loop.§idx }}{% endfor %}", "'loop' has no 'idx'"),
        ("<a §href='javascript:alert(1)'>x</a>", "must begin with"),
        ("<a §href='java&#115;cript:alert(1)'>x</a>", "must begin with"),
        ("<a §href='https://x.example{{ traits.diet }}'>x</a>", "must begin with"),
        ("<a §href='https://good.example@evil.example/'>x</a>", "neither user names"),
        ("<a §href='https://x.example\\@evil.example/'>x</a>", "neither user names"),
        ("<a\n  §href='//evil.example/'>x</a>", "must begin with"),
        ("<a §href='data:text/html,x'>x</a>", "must begin with"),
        ("<a href='§{{ links.unsubscribe }}x'>x</a>", "must contain nothing else"),
        ("<iframe srcdoc='§{{ traits.diet }}'></iframe>", "in 'srcdoc'"),
        ("<img src='https://shop.greenleaf.example/a' srcset='§{{ traits.diet }} 2x'>", "in 'srcset'"),
        ("<source SRCSET='https://x/a, §{{ traits.diet }} 2x'>", "in 'srcset'"),
        ("<a href='https://shop.greenleaf.example/' ping='§{{ traits.diet }}'>x</a>", "in 'ping'"),
        ("<link rel='preload' imagesrcset='§{{ traits.diet }}'>", "in 'imagesrcset'"),
        ("<meta http-equiv='refresh' content='0; url=§{{ traits.diet }}'>", "in a meta refresh"),
        ("<meta content='§{{ traits.diet }}' http-equiv=refresh>", "in a meta refresh"),
        ("<meta http-equiv='§{{ traits.diet }}' content='0; url=https://x.example'>", "in 'http-equiv'"),
        ("<!--[if mso]><iframe srcdoc='§{{ traits.diet }}'></iframe><![endif]-->", "in 'srcdoc'"),
    ],
)
def test_each_fault_has_its_place(marked: str, words: str) -> None:
    """The mark § shows where the fault must be found."""
    before = f"<html><body>{marked}".partition("§")[0]
    with pytest.raises(errors.InvalidInput) as refusal:
        compile_body(f"<html><body>{marked}</body></html>".replace("§", ""))
    problem = next(problem for problem in refusal.value.problems if words in str(problem))
    place = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert (problem.file, problem.line, problem.column) == ("templates/m/body.html", *place)


def test_a_fault_in_a_layout_points_into_the_layout() -> None:
    layout = "<html>\n<body>\n{% block a %}{% endblock %}\n  <p>{{ sender.adress }}</p></body></html>"
    with pytest.raises(errors.InvalidInput) as refusal:
        compile_body(
            "{% extends '_base/l.html' %}\n{% block a %}\n\n{{ offers[0].nmae }}{% endblock %}", _base__l_html=layout
        )
    places = [(p.file, p.line, p.column) for p in refusal.value.problems]
    assert places == [("templates/_base/l.html", 4, 16), ("templates/m/body.html", 4, 14)]
    assert "<p>{{ sender.adress }}</p>" in refusal.value.problems[0].excerpt


def test_all_faults_are_told_at_once() -> None:
    body = "<p class='{{ traits.diet }}'>{{ customer.nme }} {{ foo }}</p><a href='ftp://x/'>x</a>"
    with pytest.raises(errors.InvalidInput) as refusal:
        compile_body(body, subject="{{ customer.frist_name }}")
    assert len(refusal.value.problems) == 5


def test_text_that_could_never_be_shown_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="no block 'mian'") as refusal:
        compile_body(
            "{% extends '_base/l.html' %}stray{% block mian %}x{% endblock %}",
            _base__l_html="<html><body>{% block main %}{% endblock %}</body></html>",
        )
    assert "Did you mean 'main'?" in str(refusal.value)
    assert "outside every block" in str(refusal.value)


def test_circles_end() -> None:
    with pytest.raises(errors.InvalidInput, match="extends itself"):
        compile_body("{% extends '_base/l.html' %}", _base__l_html="{% extends '_base/l.html' %}")
    with pytest.raises(errors.InvalidInput, match="nest more than"):
        compile_body("{% include '_base/i.html' %}", _base__i_html="{% include '_base/i.html' %}")
    with pytest.raises(errors.InvalidInput, match="nest more than"):
        compile_body("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}")


def test_a_branch_that_leaves_an_element_open_is_told_with_its_place() -> None:
    found = compile_body(
        "<html><head><style>td a { top: 0 } a { left: 0 }</style></head><body>\n"
        "{% if traits.diet %}<div>{% endif %}<table><tr><td><a href='#x'>x</a></td></tr></table></body></html>"
    )
    place = next(finding.place for finding in found.findings if "do not match" in finding.message)
    assert (place.line, place.column) == (2, 1)
    assert 'style="left:0"' in found.render(values(), None).html


def test_lint_speaks_of_what_is_missing() -> None:
    body = (
        '<html><body><img src="https://x.example/a.png"><a href="http://x.example/">x</a><a href="">y</a></body></html>'
    )
    said = [str(finding) for finding in compile_body(body, subject=" ").findings]
    for words in (
        "subject is missing",
        "postal address",
        "unsubscribe",
        "alt text",
        "plain http",
        "nowhere",
        "language",
    ):
        assert any(words in line for line in said), words
    assert any("body.html:1:13: warning: The image" in line for line in said)


def test_a_source_keeps_its_digest_through_json() -> None:
    found = source.read(TEMPLATES, "weekly")
    again = source.TemplateSource(**json.loads(found.to_json()))
    assert (again, again.digest) == (found, found.digest)
    assert set(found.files) > {"weekly/body.html", "weekly/subject.txt", "_base/layout.html"}
    assert "weekly/sample.yaml" not in found.files


def test_reading_names_the_nearest_template_and_the_bad_byte(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="Did you mean 'weekly'"):
        source.read(TEMPLATES, "wekly")
    with pytest.raises(errors.NotFound):
        source.read(TEMPLATES, "../templates/weekly")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "body.html").write_bytes(b"<p>\nab\xff</p>")
    with pytest.raises(errors.InvalidInput) as refusal:
        source.read(tmp_path, "m")
    problems = {Path(p.file).name: (p.line, p.column) for p in refusal.value.problems}
    assert problems == {"subject.txt": (0, 0), "body.html": (2, 3)}
