"""No template reaches Python, and none can eat the time or memory of the worker that renders it."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from mailshot import errors
from mailshot.render.template import RenderError
from tests.render.material import compile_body, values

PAYLOADS = [
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ [1] * 1000000000 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ (999999999 * 999999999) * 999999999 }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.rjust(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ '\t'.expandtabs(1000000000) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a\nb'|indent(1000000000) }}",
    "{{ 'a\nb'|indent(width=1000000000) }}",
    "{{ 'a'|ljust(9) }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000d}'.format(1) }}",
    "{{ '{0.__class__}'.format(customer) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ ''|attr('format') }}",
    "{{ ['{}']|map('format', 1)|list }}",
    "{{ [1]|batch(1000000000, 0)|list }}",
    "{{ [1]|slice(1000000000)|list }}",
    "{{ 'aaaa'|replace('', 'b' * 100) }}",
    "{% set a = 'x' %}{% for i in range(1000) %}{% for j in range(1000) %}{{ a }}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}x{% endfor %}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
    "{% for i in range(1000) %}" + "x" * 5000 + "{% endfor %}",
    "{% set b %}{% for i in range(900) %}{% for j in range(900) %}data{% endfor %}{% endfor %}{% endset %}",
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a %}" * 9 + "{{ a }}",
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a + a + a + a + a + a + a + a + a %}" * 9 + "{{ a }}",
    "{% set a %}aaaaaaaaaa{% endset %}"
    + "{% set a %}{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}{% endset %}" * 9,
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = [a, a, a, a, a, a, a, a, a, a]|join %}" * 9 + "{{ a }}",
    "{% set a = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] %}" + "{% set a = a + a + a + a + a + a + a + a + a %}" * 9,
    "{% set a = 'a\na' %}" + "{% set a = a|indent(80)|replace('a', 'a\na\na\na\na\na\na\na\na') %}" * 9,
    "{% set a = 'é' %}" + "{% set a = a|urlencode ~ a|urlencode ~ a|urlencode %}" * 20,
    "{% set a = '&' %}" + "{% set a = a|string|e|string ~ a ~ a ~ a ~ a %}" * 20,
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% set ns = namespace(x=1) %}",
    "{{ lipsum(n=200000) }}",
    "{{ cycler('a').next() }}",
    "{{ dict(a=1) }}",
    "{{ joiner() }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ customer['__class__'] }}",
    "{{ customer.items.__self__ }}",
    "{{ range.__globals__ }}",
    "{{ range(1).__class__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ request.application }}",
    "{{ config }}",
    "{{ _link(0, 1, 0, 'x') }}",
    "{{ _pixel }}",
    "{{ customer.update({'email': 'x'}) }}",
    "{{ offers.append(1) }}",
    "{{ offers.clear() }}",
    "{% set customer = 1 %}",
    "{{ customer.first_name|map('upper')|attr('gi_frame') }}",
    "{{ [1]|map(attribute='__class__')|list }}",
    "{{ offers|map('attr', '__class__')|list }}",
    "{{ offers|sum(start=[1]) }}",
    "{{ range(10, 1000000000000000000000) }}",
    "{{ 'x'.encode('idna') }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 500 + "]" * 500 + " }}",
    "{{ customer" + ".a" * 5000 + " }}",
    "{{ " + "not " * 5000 + "1 }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{% for x in [1] %}" * 40 + "x" + "{% endfor %}" * 40,
    "{{ " + "9" * 5000 + " }}",
    "{{ 1 / 0 }}",
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_payload_is_stopped_in_little_memory(payload: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((errors.InvalidInput, RenderError)):
            compile_body(f"<html><body><p>{payload}</p></body></html>").render(values(), None)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_an_include_that_doubles_itself_stops() -> None:
    bombs: dict[str, Any] = {f"_base__{n}_html": f"{{% include '_base/{n + 1}.html' %}}" * 10 for n in range(12)}
    with pytest.raises(errors.InvalidInput, match="is over"):
        compile_body("{% include '_base/0.html' %}", **bombs, _base__12_html="x" * 1000)


def test_a_failure_of_one_customer_names_file_and_line() -> None:
    mail = compile_body(
        "{% extends '_base/l.html' %}",
        _base__l_html="<html><body>\n<p>x</p>\n{% if 1 / customer.household_size > 1 %}y{% endif %}</body></html>",
    )
    with pytest.raises(RenderError, match=r"templates/_base/l\.html:3:1: .*zero") as failure:
        mail.render(values(customer={"household_size": 0}), None)
    assert failure.value.place == ("_base/l.html", 3, 1)
    mail.render(values(customer={"household_size": 2}), None)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(RenderError, match="first_name"):
        compile_body("<html><body>{{ customer.first_name }}</body></html>").render(values(customer={}), None)


def test_values_stay_as_they_were() -> None:
    known = values()
    before = repr(known)
    compile_body("<html><body>{{ offers|sort(attribute='name')|length }}</body></html>").render(known, None)
    assert repr(known) == before
