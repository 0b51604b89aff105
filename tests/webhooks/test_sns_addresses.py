"""Only addresses of SNS are ever fetched: a request cannot make the site look anywhere else (SSRF)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailshot.states import IncomingSource
from mailshot.web import aws
from mailshot.webhooks import providers, sns
from mailshot.webhooks.verification import UnverifiedRequest, WebhookRequest
from tests.support import provider_webhooks as requests

HOST = "sns.eu-west-1.amazonaws.com"
PEM = "SimpleNotificationService-0123.pem"
FOREIGN = [
    f"http://{HOST}/{PEM}", f"ftp://{HOST}/{PEM}", f"file:///{HOST}/{PEM}", f"//{HOST}/{PEM}", f"{HOST}/{PEM}",
    f"HTTPS://{HOST}/{PEM}", f"https:/{HOST}/{PEM}", f"https:{HOST}/{PEM}", f"https:///{HOST}/{PEM}",
    f"https://{HOST}:444/{PEM}", f"https://{HOST}:443/{PEM}", f"https://{HOST}./{PEM}", f"https://{HOST}:@x.example/{PEM}",
    f"https://user@{HOST}/{PEM}", f"https://x.example@{HOST}/{PEM}", f"https://{HOST}@x.example/{PEM}",
    f"https://{HOST}%40x.example/{PEM}", f"https://{HOST}.x.example/{PEM}", f"https://{HOST}x/{PEM}",
    f"https://x-{HOST}/{PEM}", f"https://x.{HOST}/{PEM}", f"https://{HOST}/{PEM}#x", f"https://{HOST}/{PEM}?x=1",
    f"https://{HOST}#.x.example/{PEM}", f"https://{HOST}?.x.example/{PEM}", f"https://{HOST}\\x.example/{PEM}",
    f"https://x.example\\@{HOST}/{PEM}", f"https://x.example#{HOST}/{PEM}", f"https://x.example/{HOST}/{PEM}",
    f"https://x.example?https://{HOST}/{PEM}", f"https://{HOST}/../{PEM}", f"https://{HOST}//x.example/{PEM}",
    f"https://{HOST}/%2e%2e/{PEM}", f"https://{HOST}/a/b.pem", f"https://{HOST}/x.pem/", f"https://{HOST}/x.pem.txt",
    f"https://{HOST}/x", f"https://{HOST}/", f"https://{HOST}", f" https://{HOST}/{PEM}", f"https://{HOST}/{PEM} ",
    f"https://{HOST}/{PEM}\n", f"\nhttps://{HOST}/{PEM}", f"https://{HOST}/\r\nHost: x.example/{PEM}",
    f"https://{HOST}\t/{PEM}", f"https://{HOST}\x00/{PEM}", "https://sns.amazonaws.com/x.pem",
    "https://sns..amazonaws.com/x.pem", "https://sns.a.b.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com.evil/x.pem",
    "https://sns.eu-west-1.amazonaws.co/x.pem", "https://sns.eu-west-1.amazonaws.comm/x.pem",
    "https://sns.eu-west-1.amazonaws.com.cn.x/x.pem", "https://sns.EU-WEST-1.amazonaws.com/x.pem",
    "https://sqs.eu-west-1.amazonaws.com/x.pem", "https://s3.eu-west-1.amazonaws.com/sns/x.pem",
    "https://snsxeu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1xamazonaws.com/x.pem",
    "https://sns.\u0435u-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1\u3002amazonaws\u3002com/x.pem",
    "https://127.0.0.1/x.pem", "https://[::1]/x.pem", "https://localhost/x.pem", "https://0/x.pem",
    "https://2130706433/x.pem", "https://0x7f000001/x.pem", "https://169.254.169.254/latest/meta-data/x.pem",
    "https://[::ffff:169.254.169.254]/x.pem", "https://metadata.google.internal/x.pem", "https://10.0.0.1/x.pem",
    "gopher://127.0.0.1:6379/x.pem", "data:text/plain,x.pem", "javascript:x.pem", "", "x.pem",
]  # fmt: skip


def never(url: str) -> bytes:
    pytest.fail(f"fetched {url}")


@pytest.mark.parametrize("url", FOREIGN)
def test_no_certificate_is_fetched_from_elsewhere(url: str) -> None:
    at = datetime.now(UTC)
    posted = requests.post_sns(requests.sns_message("{}", at, SigningCertURL=url))
    request = WebhookRequest(posted.headers, posted.body, at)
    with pytest.raises(UnverifiedRequest, match="certificate is not at AWS"):
        providers.verify(requests.webhooks(), IncomingSource.ses, request, never)


def test_there_are_sixty_foreign_addresses_and_more() -> None:
    assert len(set(FOREIGN)) == len(FOREIGN) >= 60


def _subscribe(
    host: str = f"https://{HOST}", query: str = f"Action=ConfirmSubscription&TopicArn={requests.TOPIC}&Token=1"
) -> str:
    return f"{host}/?{query}"


def test_the_page_that_confirms_a_subscription_is_of_our_topic_at_aws() -> None:
    topic = requests.TOPIC
    assert sns.is_subscribe_url(_subscribe(), topic)
    for url in FOREIGN:
        assert not sns.is_subscribe_url(url, topic)
        assert not sns.is_subscribe_url(_subscribe(url.rpartition("/")[0]), topic) or url.startswith(f"https://{HOST}/")
    for query in (
        f"Action=Unsubscribe&TopicArn={topic}&Token=1", f"Action=ConfirmSubscription&TopicArn={topic}2&Token=1",
        f"Action=ConfirmSubscription&TopicArn={topic}", f"Action=ConfirmSubscription&TopicArn={topic}&Token=1&X=2",
        f"Action=DeleteTopic&Action=ConfirmSubscription&TopicArn={topic}&Token=1", "", "Action=ConfirmSubscription",
    ):  # fmt: skip
        assert not sns.is_subscribe_url(_subscribe(query=query), topic)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/{PEM}",
        "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
        "https://sns.us-gov-west-1.amazonaws.com/a-B_9.pem",
    ],
)
def test_certificates_at_aws_are_accepted(url: str) -> None:
    assert sns.is_certificate_url(url)


def test_a_certificate_is_fetched_once_and_a_failure_is_not_kept() -> None:
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        if len(fetched) == 1:
            raise OSError("not now")
        return url.encode()

    cache = aws.CertificateCache(fetch)
    with pytest.raises(OSError, match="not now"):
        cache.get("a")
    assert [cache.get("a") for _ in range(3)] == [b"a"] * 3
    assert fetched == ["a", "a"]
    for number in range(2 * aws.MAX_CERTIFICATES):
        cache.get(str(number))
    cache.get("a")
    assert fetched.count("a") == 3


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "https:///x", "https://127.0.0.1:1/x"])
def test_what_cannot_be_fetched_is_an_error_of_the_network(url: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        aws.fetch(url)
