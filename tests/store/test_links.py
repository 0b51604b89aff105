from __future__ import annotations

import pytest

from mailshot.store import feedback
from mailshot.store.engine import Store


def test_a_link_is_found_by_its_id_and_kept_once(store: Store) -> None:
    with store.write() as connection:
        feedback.store_links(connection, {5: "https://shop.example.com/a?b=c#d"})
        feedback.store_links(connection, {5: "https://other.example.com/", 6: "http://shop.example.com"})
        urls = feedback.link_urls(connection, {5, 6, 7})
    assert urls == {5: "https://shop.example.com/a?b=c#d", 6: "http://shop.example.com"}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/local",
        "https:///path",
        "https://a.example/\r\nSet-Cookie: x=1",
        "https://a.example\\@evil.example",
        "file:///etc/passwd",
        "http://[::1",
        "https://a.example/ü",
        "",
    ],
)
def test_no_browser_is_redirected_to_an_unsafe_address(store: Store, url: str) -> None:
    with store.write() as connection:
        feedback.store_links(connection, {9: url})
        assert feedback.link_urls(connection, {9}) == {}
