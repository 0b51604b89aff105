# ruff: noqa: E501 (one bomb a line)
"""More template bombs, found by reading the code: numbers with a hundred thousand digits, patterns, unusual files."""

from __future__ import annotations

BIG = "{% set a = range(1000)|list %}" + "{% set a = a + a %}" * 3


def page(body: str) -> dict[str, str]:
    """Make a mail of a body."""
    return {"body.html": f"<html><body>{body}</body></html>"}


def again(body: str) -> str:
    """Write a body that runs a million times."""
    return "{% for i in range(1000) %}{% for j in range(1000) %}" + body + "{% endfor %}{% endfor %}"


def text(size: int, what: str = "word ") -> str:
    """Set `t` to a text of `size` characters."""
    return f"{{% set t %}}{(what * (size // len(what) + 1))[:size]}{{% endset %}}"


def each(files: dict[str, str]) -> dict[str, str]:
    """Have the styles of a mail inlined for each customer."""
    return files | {"settings.yaml": "inline: each"}


DIGITS = text(99_000, "f") + "{% set n = t|int(0, 16) %}"
ODD: dict[str, dict[str, str]] = {
    "mapattr chain": page(BIG + again("{{ a|map(attribute='x', default=1)|list|length }}")),
    "sort nested": page(again("{{ [[1,2],[3,4]]|sort|length }}")),
    "dictsort": page(again("{{ customer|dictsort|length }}")),
    "reject in": page(BIG + again("{{ a|reject('in', a)|list|length }}")),
    "select in BIG": page(BIG + "{{ a|select('in', a)|list|length }}"),
    "in BIG list": page(BIG + again("{% if 99999 in a %}{% endif %}")),
    "neq lists": page(BIG + again("{% if a != a + [1] %}{% endif %}")),
    "lt lists": page(BIG + again("{% if a < a + [1] %}{% endif %}")),
    "max of lists": page(BIG + again("{{ [a, a]|max|length }}")),
    "sum of lists attr": page(BIG + "{{ [{'x': a}, {'x': a}]|sum(attribute='x') }}"),
    "tuple add": page("{% set t=(1,2) %}" + "{% set t = t + t %}" * 40 + "{{ t }}"),
    "str tests": page(text(90000) + again("{{ t is upper }}")),
    "filter block nest": page(text(90000) + "{% filter upper %}" * 200 + "{{ t }}" + "{% endfilter %}" * 200),
    "setblock filter": page(text(90000) + "{% set x | upper | lower %}{{ t }}{% endset %}" * 200),
    "with chain": page("{% with a='xx' %}" + "{% with b=a~a %}{% with a=b~b %}" * 30 + "{{a}}" + "{% endwith %}" * 61),
    "split": page(text(90000, "a ") + "{% set l = [t.split(),t.split(),t.split()] %}" * 30),
    "split list": page(text(90000, "a ") + "{% for i in range(100) %}{% for w in t.split() %}{% endfor %}{% endfor %}"),
    "listing": page(BIG + again("{{ a|listing|length }}")),
    "titlecase distinct": page(
        "{% for i in range(1000) %}{{ ('ABC DEF - GHI/JKL&MN'*1 ~ i)|titlecase }}{% endfor %}" * 20
    ),
    "titlecase long": page(
        text(90000, "AB/CD&EF ") + "{% for i in range(100) %}{{ (t ~ i)|titlecase|length }}{% endfor %}"
    ),
    "date pattern long": page(again("{{ '2026-01-01'|date('" + "y" * 190 + "') }}")),
    "date patterns": page(
        "{% for i in range(1000) %}{% for j in range(1000) %}{{ '2026-01-01'|date('y' ~ i ~ 'd' ~ j) }}{% endfor %}{% endfor %}"
    ),
    "number digits": page(again("{{ 1.5|number(1000) }}")),
    "number digits BIG": page(again("{{ 1.5|number(10000000) }}")),
    "number digits neg": page("{{ 1.5|number(-1000000000) }}"),
    "round1000": page(again("{{ 1.5|round(1000, 'ceil') }}")),
    "center": page(again("{{ 'x'|center(80) }}")),
    "int base": page(text(99000, "1") + again("{{ t|int(0, 16) }}")),
    "int base 7": page(text(4000, "1") + again("{{ t|int(0, 7) }}")),
    "int base big7": page(text(99000, "1") + again("{{ t|int(0, 32) }}")),
    "hexint cmp": page(DIGITS + "" + again("{% if n == n %}{% endif %}")),
    "hexint sum": page(DIGITS + "" + again("{{ [n,n,n]|sum is defined }}")),
    "hexint list print": page(text(99000, "f") + "{% set n=t|int(0,16) %}{{ [n] }}"),
    "hexint concat": page(text(99000, "f") + "{% set n=t|int(0,16) %}{{ n ~ '' }}"),
    "hexint neg": page(DIGITS + "" + again("{% set m = -n %}")),
    "hexint div": page(DIGITS + "" + again("{% if n is divisibleby(7) %}{% endif %}")),
    "hexint odd": page(DIGITS + "" + again("{% if n is odd %}{% endif %}")),
    "hexint float": page(DIGITS + "" + again("{{ n|float }}")),
    "hexint hash": page(DIGITS + "" + again("{% set m = {n: 1} %}")),
    "hexint attr": page(text(99000, "f") + "{% set n=t|int(0,16) %}<p width={{ n }}>x</p>"),
    "hexint range": page(text(99000, "f") + "{% set n=t|int(0,16) %}{{ range(n, n+5)|list }}"),
    "hexint slice": page(text(99000, "f") + "{% set n=t|int(0,16) %}{{ 'abc'[n:] }}{{ 'abc'[n] }}"),
    "hexint in list": page(DIGITS + "" + again("{{ n in [n-1] }}")),
    "urlencode dict": page("{% set d = {'a':'b'} %}" + again("{{ d|urlencode }}")),
    "urlencode list tuples": page(again("{{ [('a','b')]|urlencode }}")),
    "wordcount wide": page(text(99000, "é ") + again("{{ t|wordcount }}")),
    "replace markup": page("{% set t %}" + "&amp;" * 18000 + "{% endset %}" + again("{{ t|replace('&','&&&&&') }}")),
    "replace count": page(text(99000, "a") + again("{{ t|replace('a','b', 1) }}")),
    "truncate": page(text(99000, "a ") + again("{{ t|truncate(1000) }}")),
    "striptags deep": page(text(99000, "<") + again("{{ t|striptags }}")),
    "striptags2": page(text(9000, "<!--<a>-->") + again("{{ t|striptags }}")),
    "e nest": page(text(99000, "<") + again("{{ t|string|e|length }}")),
    "loop in cond": page("{% for i in range(1000) if i in range(1000)|list %}x{% endfor %}" * 50),
    "loop.length gens": page(
        "{% for i in range(1000)|map('string') %}{{ loop.length }}{{ loop.revindex }}{% endfor %}" * 50
    ),
    "previtem": page("{% for i in range(1000) %}{{ loop.previtem|default(1) }}{% endfor %}" * 90),
    "print loop": page("{% for i in range(1000) %}{{ loop }}{% endfor %}" * 90),
    "print method": page(again("{{ customer.items }}")),
    "and or chain": page(again("{{ " + " and ".join(["i"] * 200) + " }}")),
    "undefined err": page("{% set x = 'a'*1 %}{{ customer['" + "x" * 150 + "'] }}"),
    "undefined BIG": page(text(99000) + "{{ customer[t] }}"),
    "dict of customers": page(again("{{ {'a': customer, 'b': customer, 'c': offers}|length }}")),
    "offers list": page(
        "{% set q=[offers,offers,offers,offers,offers,offers,offers,offers,offers] %}"
        + "{% set q=q+q+q+q %}" * 7
        + "{{ q|length }}"
    ),
    "items pairs": page("{% set q=[offers]|batch(1)|list %}" + "{% set q=q+q %}" * 15 + "{{ q|string|length }}"),
    "link loop": page(
        "{% for i in range(1000) %}{% for j in range(1000) %}<a href='https://a.example/{{i}}/{{j}}'>x</a>{% endfor %}{% endfor %}"
    ),
    "link open loop": page(
        "{% for i in range(1000) %}{% for j in range(1000) %}<a href='{{ offers[0].url }}'>x</a>{% endfor %}{% endfor %}"
    ),
    "link unsafe": page("{% set t %}" + " " * 90000 + "{% endset %}" + "<a href='https://a.example/{{t}}'>x</a>" * 30),
    "link unsafe wide": page(
        "{% set t %}" + "\u2028" * 60000 + "{% endset %}" + "<a href='https://a.example/{{t}}'>x</a>" * 30
    ),
    "link host": page("{% set t %}https://" + "a." * 40000 + "{% endset %}" + "<a href='{{t}}'>x</a>" * 30),
    "link host2": page("<a href='https://" + "a-" * 100000 + "!'>x</a>"),
    "img src": page("{% set t %}" + "x" * 90000 + "{% endset %}" + "<img src='https://a.example/{{t}}'>" * 300),
    "subject long": {"body.html": "<p>x</p>", "subject.txt": "a " * 100000},
    "table many": page("<table>" + "<tr>" + "<td>x</td>" * 20000 + "</tr></table>"),
    "hidden styles": page("".join(f"<p style='display{' ' * 50}'>x</p>" for _ in range(3000))),
    "display blanks": page("<p style='" + "display " * 25000 + "'>x</p>"),
    "conditional comments": page("<!--[if mso]>" * 15000),
    "cond comm hrefs": page("<!--[if mso]>" + "<a href=' " * 20000 + "<![endif]-->"),
    "cond comm tags": page("<!--[if mso]>" + "<a " * 70000 + "<![endif]-->"),
    "href blanks": page("<!--[if mso]> " + "href " * 45000 + "<![endif]-->"),
    "href blanks2": page("<!--[if mso]> href" + " " * 240000 + "<![endif]-->"),
    "attr blanks": page("<p a" + " " * 240000 + ">"),
    "style close": page("<style>" + "</style " * 30000),
    "body ends": page("</body>" * 35000),
    "css var": page("<style>" + ":root{--a:" + "(" * 60000 + "}</style><p>x</p>"),
    "css strings": page("<style>p{a:'" + "\\" * 200000 + "'}</style><p>x</p>"),
    "css gt": page("<style>" + "div>" * 300 + "div{b:c}</style>" + "<div>" * 5000),
    "css not": page("<style>p:nth-child(" + "9" * 100000 + "){b:c}</style><p>x</p>"),
    "css nthn": page("<style>" + "p:nth-child(2n+1) ~ p:nth-child(3n) ~ p{a:b}" * 50 + "</style>" + "<p>x</p>" * 5000),
    "each links": each(page("{% for i in range(990) %}" + "<a href='https://a.example/'>x</a>" * 20 + "{% endfor %}")),
    "each unclosed": each(page("{% for i in range(990) %}" + "<a \"'" * 100 + "{% endfor %}")),
    "each raw": each(page("{% for i in range(990) %}{% raw %}{{{% endraw %}" + "{% endfor %}")),
    "each many attrs": each(page("<p {% for i in range(990) %}" + "a='b' " * 100 + "{% endfor %}>x</p>")),
    "includes size": page("{% include '_base/a.html' %}")
    | {
        f"_base/{c}.html": ("y" * 250000 + (f"{{% include '_base/{chr(ord(c) + 1)}.html' %}}" if c < "z" else ""))
        for c in "abcdefghijklmnopqrstuvwxyz"
    },
    "from imports": page(("{% from '_base/0.html' import " + ", ".join(f"f{n}" for n in range(3000)) + " %}") * 5)
    | {"_base/0.html": "".join(f"{{% macro f{n}() %}}x{{% endmacro %}}" for n in range(3000))},
    "macro args": page(
        "{% macro f(" + ", ".join(f"a{n}=1" for n in range(5000)) + ") %}{{ a1 }}{% endmacro %}" + "{{ f() }}" * 500
    ),
    "macro nested args": page(
        "{% macro f(a) %}{% set b = a ~ a %}{{ g(b) }}{% endmacro %}{% macro g(a) %}{{ a }}{% endmacro %}"
        + "{{ f('x'*1) }}" * 10
    ),
    "extends chain": {"body.html": "{% extends '_base/0.html' %}"}
    | {f"_base/{n}.html": f"{{% extends '_base/{n + 1}.html' %}}" for n in range(3000)}
    | {"_base/3000.html": "<p>x</p>"},
    "super deep": {"body.html": "{% extends '_base/0.html' %}{% block a %}{{ super() }}{% endblock %}"}
    | {
        f"_base/{n}.html": f"{{% extends '_base/{n + 1}.html' %}}{{% block a %}}{{{{ super() }}}}{{{{ super() }}}}{{% endblock %}}"
        for n in range(18)
    }
    | {"_base/18.html": "{% block a %}x{% endblock %}"},
    "nul": page("\x00" * 200000),
    "yaml long": {"body.html": "<p>x</p>", "settings.yaml": "inline: " + "a" * 250000},
    "yaml quotes": {"body.html": "<p>x</p>", "settings.yaml": "'" * 250000},
    "jinja line stmts": page("\n{%- if 1 -%}\n" * 9000 + "{% endif %}" * 9000),
    "trim blanks": page(("{%- if 1 -%}" + " " * 200 + "{%- endif -%}") * 1000),
    "minus blanks": page(" " * 200000 + "{%- if 1 %}x{% endif %}"),
    "string escapes": page("{{ '" + "\\\\" * 100000 + "' }}"),
    "string open": page("{{ '" * 60000),
    "string newlines": page("{{ '" + "\n" * 200000 + "' }}"),
}
