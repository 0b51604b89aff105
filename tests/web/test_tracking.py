"""Checks the pixel and the links of a mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from starlette.testclient import TestClient

from mailshot.store import consent, dialect, feedback
from mailshot.store.tables import Delivery
from mailshot.tokens import Purpose
from mailshot.web.rate_limits import RequestLimits
from tests.support import customer_site
from tests.support.customer_site import ADA, BEN, CLICK, LINK_URL, PIXEL, RUN


def test_the_pixel_is_43_bytes_never_stored_and_counted_once(client: TestClient, look: customer_site.Look) -> None:
    minute = datetime.now(UTC).replace(second=30)
    for second in range(3):
        with time_machine.travel(minute + timedelta(seconds=second), tick=False):
            answer = client.get(PIXEL)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/gif"
        assert "no-store" in answer.headers["cache-control"]
        assert (len(answer.content), answer.content[:6]) == (43, b"GIF89a")
    (row,) = look.feedback()
    assert (row["kind"], row["by"], row["run_id"], row["customer_id"]) == ("opened", "human", RUN, ADA)


def test_a_withdrawn_consent_stops_counting_and_keeps_the_pixel(client: TestClient, look: customer_site.Look) -> None:
    with look.store.write() as connection:
        consent.record_consent(connection, ADA, "tracking", False, datetime.now(UTC), "page")
    assert client.get(PIXEL).status_code == 200
    assert client.get(CLICK).headers["location"] == LINK_URL
    assert client.get(customer_site.path(Purpose.open, RUN, BEN)).status_code == 200
    assert look.feedback() == []


def test_a_link_redirects_to_its_stored_address(client: TestClient, look: customer_site.Look) -> None:
    answer = client.get(CLICK)
    assert (answer.status_code, answer.headers["location"]) == (302, LINK_URL)
    assert "no-store" in answer.headers["cache-control"]
    head = client.head(CLICK, headers={"User-Agent": "Mozilla/5.0 (X11; rv:145.0) Firefox/145.0"})
    assert (head.status_code, head.headers["location"]) == (302, LINK_URL)
    assert [(row["kind"], row["by"]) for row in look.feedback()] == [("clicked", "human"), ("clicked", "scanner")]


def test_the_hidden_link_leads_nowhere_and_exposes_a_scanner(client: TestClient, look: customer_site.Look) -> None:
    minute = datetime.now(UTC).replace(second=10)
    hidden = customer_site.path(Purpose.click, RUN, ADA)
    for second, path, agent in ((0, CLICK, "Mozilla/5.0 A"), (20, hidden, "Mozilla/5.0 B")):
        with time_machine.travel(minute + timedelta(seconds=second), tick=False):
            answer = client.get(path, headers={"User-Agent": agent})
    assert (answer.status_code, answer.content, "location" in answer.headers) == (204, b"", False)
    assert [(row["link_id"], row["by"], row["why"]) for row in look.feedback()] == [
        (customer_site.LINK, "scanner", "the same visitor as a scanner"),
        (None, "scanner", "followed the hidden link"),
    ]
    assert client.get(customer_site.path(Purpose.click, RUN, BEN)).status_code == 204
    assert len(look.feedback()) == 2, "Ben did not agree to tracking"


@pytest.mark.parametrize(
    ("state", "dotted", "by"),
    [
        ("claimed", False, "scanner"), ("dotting", True, "scanner"), ("deferred", True, "scanner"),
        ("refused", True, "scanner"), ("pending", True, "human"), ("unconfirmed", True, "human"),
    ],
)  # fmt: skip
def test_no_person_clicks_before_the_server_accepts_the_mail(
    client: TestClient, look: customer_site.Look, state: str, dotted: bool, by: str
) -> None:
    delivery = dialect.table(Delivery)
    with look.store.write() as connection:
        values = {"state": state} | ({} if dotted else {"dotted_at": None})
        connection.execute(delivery.update().where(delivery.c.customer_id == ADA).values(**values))
    client.get(CLICK)
    assert [row["by"] for row in look.feedback()] == [by]


def test_an_unknown_link_and_a_bad_token_get_the_same_answer(client: TestClient, look: customer_site.Look) -> None:
    with look.store.write() as connection:
        feedback.store_links(connection, {77: "javascript:alert(1)"})
    genuine = CLICK.removeprefix("/c/")
    bad = ["x", genuine[:-1], genuine + "A", genuine.swapcase(), "A" * 5000, "%00", "ü", "x?url=https://evil.example"]
    paths = [customer_site.path(Purpose.click, RUN, ADA, number) for number in (6, 77)] + [
        f"/c/{token}" for token in bad
    ]
    answers = [client.get(path) for path in (*paths, "/nowhere")]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, "Not found.\n")}
    assert all("location" not in answer.headers for answer in answers)
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    assert look.feedback() == []


ELSEWHERE = ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "%0d%0aLocation:x"]
WAYS = ["?next={}", "?url={}", "?redirect={}", "/{}", "/../../{}", "#{}", ";{}", "%00{}", "%2f{}", "?{}", "@{}", "//{}"]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_no_part_of_the_request_changes_the_redirect(client: TestClient, elsewhere: str) -> None:
    genuine = client.get(CLICK).headers["location"]
    for way in WAYS:
        for hint in ({}, {"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example", "Referer": elsewhere[:20]}):
            answer = client.get(CLICK + way.format(elsewhere), headers=hint)
            assert answer.headers.get("location", genuine) == genuine
            assert answer.status_code in (302, 404)


PAGES = {
    "o": Purpose.open,
    "c": Purpose.click,
    "u": Purpose.unsubscribe,
    "p": Purpose.preferences,
    "d": Purpose.confirm,
}


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("page", ["o", "c", "u", "p", "d"])
def test_a_token_opens_its_own_kind_of_page_only(client: TestClient, purpose: Purpose, page: str) -> None:
    inbox = customer_site.mailbox("ada@example.com")
    counts = {
        "o": (RUN, ADA),
        "c": (RUN, ADA, customer_site.LINK),
        "u": (RUN, ADA),
        "p": (RUN, ADA, inbox),
        "d": (1, inbox),
    }
    token = customer_site.KEYS.sign(purpose, *counts[page])
    status = client.get(f"/{page}/{token}").status_code
    posted = client.post(f"/{page}/{token}", data={"List-Unsubscribe": "One-Click"}).status_code
    if purpose == PAGES[page]:
        # Nobody asked for the link to their own data, so a genuine one has ended.
        assert status == 410 if page == "d" else status in (200, 302)
        return
    assert status == 404
    assert posted in (404, 405)


def test_requests_for_one_customer_are_limited(look: customer_site.Look) -> None:
    with TestClient(customer_site.site(look.store, RequestLimits(tokens="5/minute")), follow_redirects=False) as client:
        answers = [client.get(CLICK) for _ in range(12)]
    # The minute may turn once in between.
    assert 2 <= [answer.status_code for answer in answers].count(429) <= 7
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "60"
