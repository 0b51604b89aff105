"""Checks how UTM parameters are added to the address of a link."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailshot.feedback import link_parameters
from mailshot.feedback.link_parameters import LinkParameters

TEXTS = {"source": "bay", "campaign": "vegetable week"}
ADDED = "utm_source=bay&utm_campaign=vegetable%20week"
SHOP = "https://shop.example"


def added(url: str, texts: dict[str, str] = TEXTS, hosts: tuple[str, ...] = ("shop.example",)) -> str:
    return LinkParameters.from_frozen({"main": texts}, hosts).add_to(url, "main")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{SHOP}/a", f"{SHOP}/a?{ADDED}"),
        (SHOP, f"{SHOP}?{ADDED}"),
        (f"{SHOP}/a?", f"{SHOP}/a?{ADDED}"),
        (f"{SHOP}/a?b=1", f"{SHOP}/a?b=1&{ADDED}"),
        (f"{SHOP}/a?b=1&", f"{SHOP}/a?b=1&{ADDED}"),
        (f"{SHOP}/a?b", f"{SHOP}/a?b&{ADDED}"),
        (f"{SHOP}/a?z=%7e&a=+&a=%2B&&=;x", f"{SHOP}/a?z=%7e&a=+&a=%2B&&=;x&{ADDED}"),
        (f"{SHOP}/a#top", f"{SHOP}/a?{ADDED}#top"),
        (f"{SHOP}#", f"{SHOP}?{ADDED}#"),
        (f"{SHOP}/a?b=1#top?c=2#d", f"{SHOP}/a?b=1&{ADDED}#top?c=2#d"),
        (f"{SHOP}/a#utm_source=x", f"{SHOP}/a?{ADDED}#utm_source=x"),
        (f"{SHOP}/utm_source=x", f"{SHOP}/utm_source=x?{ADDED}"),
        (f"{SHOP}:8443/a", f"{SHOP}:8443/a?{ADDED}"),
        ("http://SHOP.Example/A", f"http://SHOP.Example/A?{ADDED}"),
    ],
)
def test_parameters_follow_the_query_and_precede_the_fragment(url: str, expected: str) -> None:
    assert added(url) == expected


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("utm_source=x", "utm_campaign=vegetable%20week"),
        ("utm_source=", "utm_campaign=vegetable%20week"),
        ("utm_source", "utm_campaign=vegetable%20week"),
        ("utm%5Fsource=x", "utm_campaign=vegetable%20week"),
        ("a=1&%75tm_source=x&b", "utm_campaign=vegetable%20week"),
        ("UTM_source=x", ADDED),
        ("utm_source%3Dx", ADDED),
        ("a=utm_source=x", ADDED),
        ("a%26utm_source=x", ADDED),
        ("+utm_source=x", ADDED),
    ],
)
def test_a_parameter_of_the_same_decoded_name_stays(query: str, rest: str) -> None:
    assert added(f"{SHOP}/a?{query}#f") == f"{SHOP}/a?{query}&{rest}#f"


def test_a_link_with_all_parameters_stays_as_it_is() -> None:
    for url in (f"{SHOP}/a?utm_campaign=b&utm_source=a", f"{SHOP}?utm_source=&utm_campaign&#x"):
        assert added(url) == url


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("grün & weiß", "gr%C3%BCn%20%26%20wei%C3%9F"),
        ("夏のセール", "%E5%A4%8F%E3%81%AE%E3%82%BB%E3%83%BC%E3%83%AB"),
        ("a+b=c#d?e/f%20", "a%2Bb%3Dc%23d%3Fe%2Ff%2520"),
        ("a\r\nLocation: x", "a%0D%0ALocation%3A%20x"),
        ("-._~", "-._~"),
    ],
)
def test_values_are_percent_encoded_as_utf_8(text: str, encoded: str) -> None:
    assert added(SHOP, {"term": text}) == f"{SHOP}?utm_term={encoded}"


def test_parameters_have_a_fixed_order() -> None:
    texts = {"content": "5", "term": "4", "campaign": "3", "medium": "2", "source": "1"}
    assert added(SHOP, texts).endswith("?utm_source=1&utm_medium=2&utm_campaign=3&utm_term=4&utm_content=5")


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/a",
        "https://shop.example.evil.example/a",
        "https://www.shop.example/a",
        "https://evil.example/shop.example",
        "https://evil.example?https://shop.example",
        "https://evil.example#shop.example",
        "https://shop.example@evil.example/a",
        "https://shop.example:1@evil.example/a",
        "https://shop.example./a",
        "https://127.0.0.1/a",
        "https://[::1]/a",
    ],
)
def test_a_link_to_a_host_of_others_stays_as_it_is(url: str) -> None:
    assert added(url) == url
    assert added(f"{SHOP}/a", hosts=()) == f"{SHOP}/a"


@pytest.mark.parametrize("host", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"])
def test_a_host_may_be_declared_in_any_spelling(host: str) -> None:
    assert added("https://xn--bcher-kva.Example/a", hosts=("not a host", host)).endswith(f"/a?{ADDED}")


def test_each_content_has_its_own_and_an_unknown_one_none() -> None:
    parameters = LinkParameters.from_frozen({"a": {"content": "a"}, "b": {"content": "b"}}, ("shop.example",))
    assert [parameters.add_to(SHOP, name) for name in "abc"] == [
        f"{SHOP}?utm_content=a",
        f"{SHOP}?utm_content=b",
        SHOP,
    ]
    assert LinkParameters().add_to(SHOP, "a") == SHOP


QUERY = st.text("abuUtm_source=&%5F+;/?", max_size=40)


@settings(max_examples=300, deadline=None)
@given(QUERY, st.text("ab#?&=/", max_size=10), st.text(max_size=20))
def test_what_was_in_a_link_is_still_there_in_its_order(query: str, fragment: str, text: str) -> None:
    url = f"{SHOP}/a?{query}#{fragment}"
    changed = link_parameters.add(url, [("utm_term", link_parameters._encoded(text))])
    before, after = urlsplit(url), urlsplit(changed)
    assert after.query.startswith(before.query)
    assert after._replace(query="") == before._replace(query="")
    pairs = [parse_qsl(part.query, keep_blank_values=True) for part in (before, after)]
    assert pairs[1] == [*pairs[0], ("utm_term", text.encode(errors="replace").decode())]
    assert link_parameters.add(changed, [("utm_term", "other")]) == changed
