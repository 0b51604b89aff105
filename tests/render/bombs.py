# ruff: noqa: E501 (one bomb a line)
"""Template bombs by name, as files of a mail: each would take too much time or memory to compile or render."""

from __future__ import annotations

from tests.render.odd_bombs import ODD

KB = 1024


def _page(body: str) -> dict[str, str]:
    return {"body.html": f"<html><body>{body}</body></html>"}


def _repeat(*bodies: str, times: int = 1000) -> str:
    """Write statements that run a million times."""
    inner = "".join(bodies)
    return f"{{% for i in range({times}) %}}{{% for j in range({times}) %}}{inner}{{% endfor %}}{{% endfor %}}"


def _text(size: int, what: str = "word ") -> str:
    """Set `t` to a text of `size` characters."""
    return f"{{% set t %}}{(what * (size // len(what) + 1))[:size]}{{% endset %}}"


def _nested(opening: str, closing: str, depth: int, inside: str = "x") -> str:
    return opening * depth + inside + closing * depth


LIST = "{% set q = [1] %}" + "{% set q = [q, q, q, q, q, q, q, q, q, q] %}" * 8
TUPLE = "{% set q = (1,) %}" + "{% set q = (q, q, q, q, q, q, q, q, q, q) %}" * 8
DICT = "{% set q = {'a': 1} %}" + "{% set q = {'a': q, 'b': q, 'c': q, 'd': q, 'e': q, 'f': q} %}" * 10
WIDE = "{% set q = range(1000)|list %}{% set q = [q, q, q, q, q, q, q, q, q, q] %}" + "{% set q = q + q %}" * 6
DEEP = "{% set q = [1] %}" + "{% set q = q|batch(1)|list %}" * 60
BATCHED = "{% set q = range(1000)|list %}" + "{% set q = [q, q, q]|list %}{% set q = q|batch(2)|list %}" * 12

# Lists of lists: built from small ones, walked through by whatever looks at them.
LISTS = {
    f"{kind} {use}": _page(made + f"{{{{ {use} }}}}")
    for kind, made in (("list", LIST), ("tuple", TUPLE), ("dict", DICT), ("wide", WIDE))
    for use in (
        "q", "q|e|length", "q|string|length", "q|join|length", "q == q", "q|listing|length", "q|title|length",
        "q|urlencode|length", "q|initials", "q ~ ''", "1 if q in [q, 1] else 2", "q is eq(q)",
    )
}  # fmt: skip
LISTS |= {
    "list deep by batch": _page(DEEP + "{{ q }}"),
    "list grown by batch": _page(BATCHED + "{{ q }}"),
    "list as a key": _page(LIST + "{{ customer[q] }}"),
    "list as a link": _page(LIST + '<a href="{{ q }}">x</a>'),
    "list in a method": _page(LIST + "{{ 'a'.startswith(q) }}"),
    "list looked up": _page(LIST + "{{ customer.get(q) }}"),
    "list changed": _page(LIST + "{% for i in [1, 2] %}{{ loop.changed(q) }}{% endfor %}"),
    "list in a subject": {"body.html": "<p>x</p>", "subject.txt": LIST + "{{ q }}"},
    "list in a text": {"body.html": "<p>x</p>", "body.txt": LIST + "{{ q }}"},
    "list in a preheader": _page(f"<div style='display:none'>{LIST}{{{{ q|join }}}}</div>"),
    "list selected by a list": _page(LIST + "{{ [q, q]|select('equalto', q)|list|length }}"),
    "list sorted": _page(LIST + "{{ [q, q, q]|sort|length }}"),
    "list made unique": _page(WIDE + "{{ q|unique|list|length }}"),
    "long keys": _page(_text(200) + "{% set q = {t * 1: 1} %}" + "{% set q = [q, q, q, q, q, q, q, q, q] %}" * 9),
    "keys of long texts": _page(_text(90 * KB) + "{% set q = {t: 1} %}{% set q = [q, q, q, q, q, q, q] %}{{ [q, q] }}"),
    "items of a dict": _page(DICT + "{{ q.items() }}{{ q.values() }}"),
}
# One filter, test, method or operator on a long text, a million times.
TEXTS = {
    f"text {use}": _page(_text(60 * KB) + _repeat(f"{{% if ({use}) == 1 %}}{{% endif %}}"))
    for use in (
        "t|wordcount", "t|upper", "t|lower", "t|title", "t|capitalize", "t|titlecase", "t|initials", "t|trim|length",
        "t|striptags|length", "t|urlencode|length", "t|e|length", "t|string|length", "t|truncate(50)", "t|replace('w', 'x')",
        "t|replace('', 'x')", "t|indent", "t|center", "t|reverse", "t|list|length", "t|int", "t|float", "t|round",
        "t|unique|list|length", "t|sort|length", "t|batch(3)|list|length", "t|slice(3)|list|length", "t|join(', ')|length",
        "t|map('upper')|list|length", "t|select|list|length", "t|max", "t|min", "t|first", "t|last", "t|default('x')",
        "t.split()", "t.title()", "t.strip('drow ')", "t.startswith('x')", "t.endswith('x')", "t.lower()",
        "t is upper", "t is lower", "t is in('x')", "t == t ~ ''", "t < t ~ ''", "'xyz' in t", "t[1:]", "t[::-1]",
        "t ~ 'x'", "t + 'x'", "[t]|listing", "t|groupby(0)|list", "t|reject|list", "t is string", "t|abs",
    )
}  # fmt: skip
TEXTS |= {
    "text of opening comments": _page(_text(90 * KB, "<!---->") + _repeat("{{ t|striptags|length }}", times=30)),
    "text of tags": _page(_text(90 * KB, "<a>") + _repeat("{{ t|striptags|length }}", times=30)),
    "text of new lines indented": _page(_text(90 * KB, "\n") + "{{ t|indent(80)|length }}" * 500),
    "text with long replacements": _page(_text(90 * KB, "a") + "{{ t|replace('a', '&' ~ '\U0001f600' * 1)|length }}" * 90),
    "text replaced by 200": _page(_text(90 * KB, "a") + "{{ t|replace('a', '" + "&\U0001f600" * 100 + "')|length }}"),
    "text joined by 200": _page("{{ range(1000)|list|join('" + "&\U0001f600" * 100 + "')|length }}" * 20),
    "text stripped of 100 KB": _page(_text(90 * KB, "ab") + "{{ t.strip(t ~ 'x')|length }}" * 50),
    "text searched for a half of it": _page(_text(90 * KB, "a") + _repeat("{{ (t[:4000] ~ 'b') in t }}")),
    "text doubled": _page("{% set t = 'ab' %}" + "{% set t = t ~ t %}" * 40 + "{{ t|length }}"),
    "text doubled by +": _page("{% set t = 'ab' %}" + "{% set t = t + t %}" * 40 + "{{ t|length }}"),
    "text doubled by join": _page("{% set t = 'ab' %}" + "{% set t = [t, t]|join %}" * 40 + "{{ t|length }}"),
    "text doubled by set": _page("{% set t = 'ab' %}" + "{% set t %}{{ t }}{{ t }}{% endset %}" * 40 + "{{ t|length }}"),
    "text doubled by filter block": _page("{% set t = 'ab' %}{% set t %}{% filter replace('a', 'aaaaaaaaaa') %}"
                                          "{{ t }}{% endfilter %}{% endset %}" + "{% set t = t|replace('a', 'aaaaaaaaa') %}" * 12),
    "text escaped again and again": _page("{% set t = '&' %}" + "{% set t = t|string|e|string ~ t %}" * 40 + "{{ t }}"),
    "text of a wide alphabet": _page("{% set t = '\U0001f600' %}" + "{% set t = t|urlencode %}" * 40 + "{{ t|length }}"),
    "text by letters": _page(_text(9 * KB) + "{% for a in t %}{% for b in t %}{% endfor %}{% endfor %}"),
}  # fmt: skip
NUMBERS = {
    f"number {use}": _page(use)
    for use in (
        "{{ 9 ** 9 ** 9 }}", "{{ 2 ** 100000000 }}", "{{ 1 << 9999999999 }}", "{{ '9'|int * 'a' }}",
        "{{ " + "9" * 4000 + " }}", "{{ " + "9" * 200000 + " }}", "{{ ('f' ~ 'f')|int(0, 16) * 10**9 }}",
        "{% set n = 99999999 %}" + "{% set n = n * n %}" * 30 + "{{ n }}", "{{ range(10**9)|list }}",
        "{{ range(0, 999999999, 1)|sum }}", "{{ 1.5|round(10**9) }}", "{{ '1e999999999'|float|int }}",
        "{% set n = range(1000)|sum %}" + _repeat("{{ range(1000)|sum }}"), "{{ '%099999999d'|format(1) }}",
        "{{ 1e308 * 1e308 }}" * 10 + "{{ 10 ** 10 ** 10 }}", "{{ 12|center(10**9) }}", "{{ [1] * 10**9 }}",
        "{{ 'ab' * 10**9 }}", "{{ (1, 2) * 10**9 }}", "{{ 10**9 * 'ab' }}", "{{ 1|indent(10**9) }}",
    )
}  # fmt: skip
NUMBERS |= {
    "number of hex digits": _page(_text(90 * KB, "f") + "{% set n = t|int(0, 16) %}{{ n }}{{ n * n }}"),
    "number printed": _page(_repeat("{{ 123456.789 }}")),
    "number as money": _page(_repeat("{{ 123456.789|money }}")),
    "number as a date": _page(_repeat("{{ '2026-01-01'|date('full') }}")),
    "number filter": _page(_repeat("{{ 1234567|number(3) }}")),
}
LOOPS = {
    f"loop {number}": _page(body)
    for number, body in enumerate(
        (
            _repeat(), _repeat("{{ i }}"), _repeat("{% if i %}{% endif %}" * 200), _repeat("{% set a = 1 %}" * 200),
            _repeat("{{ '' }}" * 100), _repeat("{% with a = 1, b = 2 %}{% endwith %}" * 50), _repeat("{{ loop.cycle('', '') }}"),
            _repeat("{{ loop.changed(i, j) }}"), _repeat("{{ customer.get('x', '') }}"), _repeat("{% for k in [1] %}{% endfor %}"),
            _repeat("{{ range(1000)|list|length }}"), _repeat("{{ range(1000)|map('string')|join|length }}", times=300),
            _repeat("{{ range(1000)|sort|length }}", times=300), _repeat("{{ range(1000)|groupby(0)|list|length }}", times=300),
            _repeat("{{ offers|map(attribute='name')|map('upper')|map('lower')|join|length }}"),
            _repeat("{{ offers|sort(attribute='name')|length }}"), _repeat("{{ offers|groupby('name')|length }}"),
            _repeat('<a href="https://a.example/{{ i }}">x</a>'), _repeat("{% set b %}{{ i }}{% endset %}"),
            _repeat("{{ customer.items()|list|length }}"), _repeat("{{ (i, j, i, j, i, j) }}"), _repeat("{{ {'a': i}|length }}"),
            _repeat("{% filter upper %}x{% endfilter %}"), _repeat("{{ i if j else i }}" * 50), _repeat("{{ [i, j]|max }}"),
            "{% for a in range(1000) if range(1000)|sum %}{% for b in range(1000) if b > 999 %}{% endfor %}{% endfor %}",
            "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
            "{% for x in range(1000)|map('string')|map('upper')|map('lower')|batch(2)|map('join')|list %}" + _repeat("{{ x }}"),
            _repeat("x" * 999), "{{ range(1000)|map('map', 'string')|list }}", "{% for i in range(1001) %}{% endfor %}",
            "{% set a = range(1000)|list %}" + "{% set a = a + a %}" * 40, _repeat("{{ a is defined }}" * 50),
            _repeat("{{ offers[0].name[0:3] }}"), _repeat("{{ not i and j or 1 }}" * 80), _repeat("{{ i + j - 1 }}" * 30),
        )
    )
}  # fmt: skip
MACROS = "".join(f"{{% macro m{n}() %}}{f'{{{{ m{n - 1}() }}}}' * 10 if n else ''}{{% endmacro %}}" for n in range(18))
FLAT = {
    "macros that call ten": _page(MACROS + "{{ m17() }}"),
    "macro of itself": _page("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"),
    "macro with a long default": _page("{% macro f(a='" + "x" * 90 * KB + "') %}{% endmacro %}" + "{{ f() }}" * 9000),
    "macro given itself": _page("{% macro f(a) %}{{ a }}{{ a }}{% endmacro %}{{ f(f(f(f('x')))) }}"),
    "call block": _page("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{% call f() %}x{% endcall %}{% endcall %}"),
    "macro inside a loop": _page(_repeat("{% macro f() %}x{% endmacro %}{{ f() }}")),
    "include of itself": _page("{% include 'm/body.html' %}{% include 'm/body.html' %}"),
    "includes that call ten": _page("{% include '_base/9.html' %}")
    | {f"_base/{n}.html": f"{{% include '_base/{n - 1}.html' %}}" * 10 if n else "" for n in range(10)},
    "extends in a ring": {"body.html": "{% extends '_base/a.html' %}", "_base/a.html": "{% extends '_base/b.html' %}",
                          "_base/b.html": "{% extends '_base/a.html' %}"},
    "blocks of super": {"body.html": "{% extends '_base/9.html' %}{% block a %}{{ super() }}{{ super() }}{% endblock %}"}
    | {f"_base/{n}.html": f"{{% extends '_base/{n - 1}.html' %}}{{% block a %}}" + "{{ super() }}" * 9 + "{% endblock %}"
       for n in range(1, 10)} | {"_base/0.html": "<html>{% block a %}x{% endblock %}</html>"},
    "blocks in blocks": _page("".join(f"{{% block b{n} %}}" for n in range(2000)) + "{% endblock %}" * 2000),
    "many blocks": _page("".join(f"{{% block b{n} %}}x{{% endblock %}}" for n in range(9000))),
    "many sets": _page("".join(f"{{% set a{n} = {n} %}}" for n in range(9000))),
    "many sets and ifs": _page("".join(f"{{% set a{n} = 1 %}}{{% if 1 %}}{{% endif %}}" for n in range(6000))),
    "many tags": _page("{{ 1 }}" * 36_000),
    "many ifs inside": _page(_nested("{% if 1 %}", "{% endif %}", 10_000)),
    "many elifs": _page("{% if 1 %}" + "{% elif 1 %}x" * 18_000 + "{% endif %}"),
    "many withs inside": _page(_nested("{% with a = 1 %}", "{% endwith %}", 5000)),
    "many loops inside": _page(_nested("{% for x in [1] %}", "{% endfor %}", 19)),
    "many brackets": _page("{{ " + "(" * 90_000 + ")" * 90_000 + " }}"),
    "many lists in lists": _page("{{ " + "[" * 90_000 + "]" * 90_000 + " }}"),
    "many operators": _page("{{ 1" + " + 1" * 60_000 + " }}"),
    "many joins": _page("{{ 1" + " ~ 1" * 60_000 + " }}"),
    "many filters": _page("{{ 'x'" + "|upper" * 40_000 + " }}"),
    "many nots": _page("{{ " + "not " * 60_000 + "1 }}"),
    "many minus signs": _page("{{ " + "- " * 90_000 + "1 }}"),
    "many comparisons": _page("{{ 1" + " < 2" * 60_000 + " }}"),
    "many choices": _page("{{ 1" + " if 1 else 1" * 18_000 + " }}"),
    "many attributes": _page("{{ customer" + ".a" * 90_000 + " }}"),
    "many subscripts": _page("{{ customer" + "[0]" * 80_000 + " }}"),
    "many calls": _page("{{ range" + "()" * 90_000 + " }}"),
    "a long literal": _page("{{ [" + "1," * 120_000 + "]|length }}"),
    "a long dict": _page("{{ {" + ",".join(f"'{n}': {n}" for n in range(16_000)) + "}|length }}"),
    "a long name": _page("{{ " + "a" * 250_000 + " }}"),
    "many unknown names": _page("".join(f"{{{{ name{n} }}}}" for n in range(14_000))),
    "many unknown filters": _page("".join(f"{{{{ 1|fil{n} }}}}" for n in range(14_000))),
    "a long text in a tag": _page("{{ '" + "x" * 250_000 + "' }}"),
    "a comment without an end": _page("{# " * 60_000),
    "a tag without an end": _page("{{ " * 80_000),
    "a statement without an end": _page("{% if 1 %}" * 20_000),
    "raw without an end": _page("{% raw %}" * 20_000),
    "raw and braces": _page("{% raw %}" + "{{" * 100_000 + "{% endraw %}"),
    "single braces": _page("{" * 250_000),
    "comments": _page("{##}" * 60_000),
    "control characters": _page("\x01\x02 " * 80_000),
    "blanks before an end of line": _page(" " * 240_000 + "x"),
    "blanks in the text": {"body.html": "<p>x</p>", "body.txt": "x" + " " * 240_000 + "x"},
    "blanks and no-break spaces in the text": {"body.html": "<p>x</p>", "body.txt": "x" + " \u00a0\u200c\t" * 60_000 + "x"},
    "blanks and tags in the text": {"body.html": "<p>x</p>", "body.txt": (" " * 99 + "{% if 1 %}" + " " * 99 + "{% endif %}") * 1200},
    "lines in the text": {"body.html": "<p>x</p>", "body.txt": "\n" * 250_000},
    "blanks of a customer": {"body.html": "<p>x</p>", "body.txt": "{% for i in range(990) %}" + " " * 900 + "{% endfor %}x"},
    "subject of a million": {"body.html": "<p>x</p>", "subject.txt": "{% for i in range(990) %}" + "\u00e9" * 900 + "{% endfor %}"},
    "settings of anchors": {"body.html": "<p>x</p>", "settings.yaml": "a: &a [1,1]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12))},
    "settings of brackets": {"body.html": "<p>x</p>", "settings.yaml": "[" * 100_000},
}  # fmt: skip
RULES = "".join(f".c{n} div p {{ color: red; margin: {n}px }}\n" for n in range(3000))
HTML = {
    "rules and elements": _page(f"<style>{RULES}</style>" + '<div class="c1"><p>x</p></div>' * 4000),
    "the same rule": _page("<style>" + "p { color: red }\n" * 9000 + "</style>" + "<p>x</p>" * 9000),
    "one rule of many selectors": _page("<style>" + ",".join(["p"] * 60_000) + " {a:b}</style>" + "<p>x</p>" * 1000),
    "selectors inside one another": _page("<style>" + "div " * 400 + "{ a: b }</style>" + _nested("<div>", "</div>", 250)),
    "siblings of siblings": _page("<style>" + "p ~ " * 9 + "p { a: b }</style>" + "<p>x</p>" * 5000),
    "nth children": _page("<style>" + "p:nth-child(3n+1) { a: b }\n" * 900 + "</style>" + "<p>x</p>" * 9000),
    "a selector of attributes": _page("<style>p" + "[a='b']" * 9000 + " { a: b }</style><p>x</p>"),
    "a long declaration": _page("<style>p {" + "a:b;" * 50_000 + "}</style>" + "<p>x</p>" * 1000),
    "an unclosed comment of style": _page("<style>" + "/*" * 120_000 + "</style><p>x</p>"),
    "an unclosed sheet": _page("<style>" * 30_000),
    "unclosed braces of style": _page("<style>" + "{" * 240_000 + "</style><p>x</p>"),
    "quotes in a sheet": _page("<style>" + "\"'" * 120_000 + "</style><p>x</p>"),
    "a long media query": _page("<style>@media " + "(min-width: 1px) and " * 11_000 + "(a) { p { a: b } }</style>"),
    "many media queries": _page("<style>" + "@media print { p { a: b } }\n" * 9000 + "</style><p>x</p>"),
    "imports of style": _page("<style>" + "@import url(a.css);" * 12_000 + "</style><p>x</p>"),
    "a long word of style": _page('<p style="' + "a" * 240_000 + '">x</p>'),
    "many styles": _page('<p style="color: red; margin: 1px">x</p>' * 6000),
    "elements inside one another": _page(_nested("<div>", "</div>", 20_000)),
    "tables inside one another": _page(_nested("<table><tr><td>", "</td></tr></table>", 6000)),
    "elements without an end": _page("<div>" * 50_000),
    "ends without elements": _page("</div>" * 40_000),
    "badly nested": _page("<b><i>" * 9000 + "</b></i>" * 9000),
    "many elements": _page("<i></i>" * 36_000),
    "tags without an end": _page("<a " * 80_000),
    "tags without an end and quotes": _page("<a \"'" * 50_000),
    "tags without an end and other quotes": _page("<a '\"" * 50_000 + "'"),
    "signs that begin a tag": _page("<" * 250_000),
    "links without an end": _page('<a href="https://a.example/">' * 8000),
    "links to unsubscribe without an end": _page('<a href="{{ links.unsubscribe }}">' * 6000),
    "many links": _page('<a href="https://a.example/?a={{ customer.email }}">x</a>' * 4000),
    "many images": _page('<img src="https://a.example/{{ customer.email }}">' * 4500),
    "a link of a million": _page("{% set t %}" + "x" * 90_000 + '{% endset %}<a href="https://a.example/{{ t }}{{ t }}">x</a>' * 9),
    "a huge attribute": _page('<p title="' + "&amp;" * 48_000 + '">x</p>'),
    "many attributes": _page("<p " + " ".join(f"a{n}='b'" for n in range(25_000)) + ">x</p>"),
    "one attribute again and again": _page("<p " + "a='b' " * 40_000 + ">x</p>"),
    "entities": _page("&amp;" * 50_000),
    "ampersands": _page("&" * 250_000),
    "comments without an end of HTML": _page("<!--" * 60_000),
    "comments for Outlook": _page("<!--[if mso]>" + ' href="https://a.example/"' * 9000 + "<![endif]-->"),
    "words like ours": _page("".join("zq" + "x" * n + " " for n in range(680))),
    "words like ours, all": _page("zqxaaaaazj " * 20_000),
    "lines": _page("\n" * 250_000 + "<p>x</p>"),
    "attributes over lines": _page("<p\n a='{{ customer.email }}'\n>x</p>\n" * 5000),
    "a script without an end": _page("<script>" * 30_000),
    "titles": _page("<title>" * 30_000),
    "a bomb of combining marks": _page("a" + "\u0301" * 120_000),
    "right to left": _page("\u202e" * 80_000),
    "words without breaks in the text": _page("<pre>" + "x" * 240_000 + "</pre>"),
    "lists in the text": _page(_nested("<ul><li>", "</li></ul>", 9000)),
}  # fmt: skip
EACH = {
    f"each mail: {name}": files | {"settings.yaml": "inline: each"}
    for name, files in {
        "rules and elements": HTML["rules and elements"],
        "looped elements": _page(f"<style>{RULES[:60_000]}</style>" + "{% for i in range(990) %}" + "<p>x</p>" * 99 + "{% endfor %}"),
        "looped rules": _page("<style>{% for i in range(990) %}" + "p{a:b}" * 99 + "{% endfor %}</style>" + "<p>x</p>" * 500),
        "a long word of style": _page('{% set t %}' + "a" * 90_000 + '{% endset %}<p style="{{ t }}{{ t }}{{ t }}">x</p>'),
        "deep elements": _page("{% for i in range(990) %}" + "<div>" * 99 + "{% endfor %}"),
        "entities": _page("{% for i in range(990) %}" + "&amp;" * 190 + "{% endfor %}"),
        "comments of style": _page("<style>{% for i in range(990) %}" + "/*" * 400 + "{% endfor %}</style><p>x</p>"),
        "selectors": _page("<style>{% for i in range(90) %}div {% endfor %}{a:b}</style>" + "<div>" * 200),
    }.items()
}  # fmt: skip
# Those that do nothing for most customers.
ONE = {
    "one customer: a town": _page("{% if customer.email == 'x' %}" + LIST + "{{ q }}{% endif %}"),
    "one customer: else": _page("{% if customer.email != 'x' %}a{% elif 1 %}b{% else %}" + _repeat() + "{% endif %}"),
    "one customer: no offers": _page("{% for o in offers %}x{% else %}" + _repeat() + "{% endfor %}"),
}
ALL: dict[str, dict[str, str]] = {**LISTS, **TEXTS, **NUMBERS, **LOOPS, **FLAT, **HTML, **EACH, **ONE, **ODD}
