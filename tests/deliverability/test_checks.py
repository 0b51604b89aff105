"""Checks the findings about senders against a real name server: sound domains, and everything that goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailshot.deliver.smtp import Server
from mailshot.deliverability import checks
from mailshot.deliverability.checks import SendingSetup
from mailshot.deliverability.dns_lookup import DnsLookup
from mailshot.deliverability.sender_finding import Level, SenderFinding
from mailshot.profile.senders import Sender, Signing
from mailshot.render import dkim_keys
from mailshot.render.dkim_keys import DkimKeys, KeyType
from tests.support.dns_server import Zone, name_server

DOMAIN = "greenleaf.example"
RELAY, RELAY_SIX = "203.0.113.9", "2001:db8::9"
SENDER = Sender(
    name="Green Leaf",
    address=f"news@{DOMAIN}",
    postal_address="1 Quay, 0150 Oslo",
    bounce_domain=f"bounce.{DOMAIN}",
    sign=Signing(domain=DOMAIN, selector=("m1", "e1")),
)
SPF = f'bounce.{DOMAIN}. IN TXT "v=spf1 mx include:_spf.{DOMAIN} ~all"'
DMARC = f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=quarantine"'


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DkimKeys:
    folder = tmp_path_factory.mktemp("dkim")
    for selector, kind in (("m1", KeyType.rsa), ("e1", KeyType.ed25519)):
        (folder / dkim_keys.file_name(DOMAIN, selector)).write_bytes(dkim_keys.generate(kind))
    return dkim_keys.read_folder(folder)


@pytest.fixture
def zone(keys: DkimKeys) -> Zone:
    """Return a zone in which everything is right."""
    made = Zone()
    for line in (
        f"{DOMAIN}. IN A 203.0.113.1",
        f"bounce.{DOMAIN}. IN MX 10 in.{DOMAIN}.",
        f"in.{DOMAIN}. IN A 203.0.113.2",
        SPF,
        f'_spf.{DOMAIN}. IN TXT "v=spf1 ip4:203.0.113.8/30 " "ip6:2001:db8::/32 -all"',
        f'{DOMAIN}. IN TXT "some-site-verification=1"',
        DMARC,
        f"relay.{DOMAIN}. IN A {RELAY}",
        f"relay.{DOMAIN}. IN AAAA {RELAY_SIX}",
        f"9.113.0.203.in-addr.arpa. IN PTR relay.{DOMAIN}.",
        f"{'9.0.0.0.' + '0.' * 20}8.b.d.0.1.0.0.2.ip6.arpa. IN PTR relay.{DOMAIN}.",
        f"news.{DOMAIN}. IN CNAME web.{DOMAIN}.",
        f"web.{DOMAIN}. IN A 203.0.113.3",
    ):
        made.add(line)
    for key in keys.find(SENDER.sign.model_dump() if SENDER.sign else None):
        publish(made, key.dns_name, key.record)
    return made


def publish(zone: Zone, name: str, text: str) -> None:
    """Publish a TXT record in place of those that are there."""
    from mailshot.deliverability import zone_file

    zone.remove(name, "TXT")
    zone.add(zone_file.txt_record(name, text))


@pytest.fixture
def setup(zone: Zone, keys: DkimKeys) -> Iterator[SendingSetup]:
    with name_server(zone) as address:
        server = Server.parse(f"smtp://relay.{DOMAIN}:587", "auto")
        yield SendingSetup(DnsLookup(address, seconds=0.5), server, keys, f"https://news.{DOMAIN}")


def found(setup: SendingSetup, sender: Sender = SENDER) -> dict[str, SenderFinding]:
    """Return the findings about a sender by check, of several of one check the last that matters most."""
    order = [Level.ok, Level.warn, Level.fail]
    findings = checks.check_sender(sender, setup)
    return {item.check: item for item in sorted(findings, key=lambda item: order.index(item.level))}


def test_all_is_well(setup: SendingSetup) -> None:
    findings = found(setup)
    assert {item.level for item in findings.values()} == {Level.ok}, findings
    assert [*sorted(findings)] == ["BIMI", "DKIM e1", "DKIM m1", "DMARC", "SPF", "alignment", "bounces"]
    assert findings["SPF"].text == f"one record, 2 of 10 look-ups, includes {RELAY}, {RELAY_SIX}"
    assert "rsa-sha256 with 2048 bits" in findings["DKIM m1"].text
    assert findings["alignment"].text == f"SPF and DKIM prove {DOMAIN}"


def test_no_spf(setup: SendingSetup, zone: Zone) -> None:
    zone.remove(f"bounce.{DOMAIN}", "TXT")
    finding = found(setup)["SPF"]
    assert finding.level is Level.fail
    assert finding.publish == f'bounce.{DOMAIN}. IN TXT "v=spf1 ip4:{RELAY} ip6:{RELAY_SIX} ~all"'
    assert_repaired(setup, zone, finding)


def assert_repaired(setup: SendingSetup, zone: Zone, finding: SenderFinding) -> None:
    """Publish what a finding says, and check that this was all it took."""
    name, _, kind, _ = finding.publish.split(" ", 3)
    zone.remove(name.rstrip("."), kind)
    zone.add(finding.publish)
    again = replace(setup, lookup=DnsLookup(_address(setup), seconds=0.5))
    assert found(again)[finding.check].level is Level.ok


def _address(setup: SendingSetup) -> str:
    resolver = setup.lookup._resolver
    return f"{resolver.nameservers[0]}:{resolver.port}"


def test_two_spf_records(setup: SendingSetup, zone: Zone) -> None:
    zone.add(f'bounce.{DOMAIN}. IN TXT "v=spf1 ip4:198.51.100.1 -all"')
    finding = found(setup)["SPF"]
    assert finding.level is Level.fail
    assert "has 2 SPF records" in finding.text
    assert finding.publish == f'bounce.{DOMAIN}. IN TXT "v=spf1 ip4:198.51.100.1 mx include:_spf.{DOMAIN} ~all"'
    assert_repaired(setup, zone, finding)


@pytest.mark.parametrize(("number", "level"), [(10, Level.ok), (11, Level.fail)])
def test_look_ups_are_counted_through_all_includes(setup: SendingSetup, zone: Zone, number: int, level: Level) -> None:
    """The record has one include and its target the rest: `a`, `exists` and a redirect."""
    publish(zone, f"bounce.{DOMAIN}", f"v=spf1 ip4:{RELAY} ip6:{RELAY_SIX} include:_more.{DOMAIN} ~all")
    many = " ".join(f"a:h{turn}.{DOMAIN}" for turn in range(number - 4))
    publish(zone, f"_more.{DOMAIN}", f"v=spf1 {many} exists:%{{i}}.{DOMAIN} ptr redirect=_end.{DOMAIN}")
    publish(zone, f"_end.{DOMAIN}", "v=spf1 ?all")
    finding = found(setup)["SPF"]
    assert finding.level is level
    assert (f"takes {number} look-ups" if level is Level.fail else f"{number} of 10") in finding.text


def test_spf_without_the_relay(setup: SendingSetup, zone: Zone) -> None:
    publish(zone, f"bounce.{DOMAIN}", "v=spf1 ip4:198.51.100.0/24 -all")
    finding = found(setup)["SPF"]
    assert finding.level is Level.fail
    assert f"{RELAY} (fail), {RELAY_SIX} (fail)" in finding.text
    assert finding.publish.endswith(f'"v=spf1 ip4:{RELAY} ip6:{RELAY_SIX} ip4:198.51.100.0/24 -all"')
    assert_repaired(setup, zone, finding)
    elsewhere = replace(setup, lookup=DnsLookup(_address(setup)), sends_from=("198.51.100.7",))
    publish(zone, f"bounce.{DOMAIN}", "v=spf1 ip4:198.51.100.0/24 -all")
    assert found(elsewhere)["SPF"].level is Level.ok


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3"])
def test_a_relay_without_a_public_address_cannot_be_evaluated(setup: SendingSetup, host: str) -> None:
    local = replace(setup, server=Server.parse(f"smtp://{host}:25", "auto"))
    finding = found(local)["SPF"]
    assert finding.level is Level.warn
    assert "cannot be found out" in finding.text
    assert "--sends-from" in finding.remedy


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=spf1 include:bounce.greenleaf.example -all", "includes itself"),
        ("v=spf1 include:nothing.example -all", "nothing.example has no SPF record"),
        ("v=spf1 ipv4:203.0.113.9 -all", "'ipv4:203.0.113.9' is not an SPF term"),
        ("v=spf1 ip4:203.0.113.999 -all", "is not an address"),
        ("v=spf1 include: -all", "'include:' is not an SPF term"),
    ],
)
def test_spf_records_that_receivers_cannot_evaluate(setup: SendingSetup, zone: Zone, record: str, reason: str) -> None:
    publish(zone, f"bounce.{DOMAIN}", record)
    finding = found(setup)["SPF"]
    assert finding.level is Level.fail
    assert reason in finding.text


def test_a_record_that_lets_everyone_send(setup: SendingSetup, zone: Zone) -> None:
    publish(zone, f"bounce.{DOMAIN}", "v=spf1 mx +all")
    finding = found(setup)["SPF"]
    assert finding.level is Level.warn
    assert "lets everyone send" in finding.text
    assert_repaired(setup, zone, finding)


def test_two_dmarc_records(setup: SendingSetup, zone: Zone) -> None:
    zone.add(f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none"')
    finding = found(setup)["DMARC"]
    assert finding.level is Level.fail
    assert "has 2 DMARC records" in finding.text


def test_another_key_is_published(setup: SendingSetup, zone: Zone, keys: DkimKeys) -> None:
    other = dkim_keys.parse(dkim_keys.generate(KeyType.rsa), DOMAIN, "m1")
    publish(zone, other.dns_name, other.record)
    finding = found(setup)["DKIM m1"]
    assert finding.level is Level.fail
    assert "is not the one that signs" in finding.text
    assert_repaired(setup, zone, finding)


def test_a_short_key_of_ours_works_but_should_be_replaced(setup: SendingSetup, zone: Zone, tmp_path: Path) -> None:
    pem = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / dkim_keys.file_name(DOMAIN, "m1")).write_bytes(pem)
    keys = dkim_keys.read_folder(tmp_path)
    sender = SENDER.model_copy(update={"sign": Signing(domain=DOMAIN, selector="m1")})
    publish(zone, f"m1._domainkey.{DOMAIN}", keys.find({"domain": DOMAIN, "selector": "m1"})[0].record)
    finding = found(replace(setup, dkim_keys=keys), sender)["DKIM m1"]
    assert (finding.level, finding.text) == (Level.warn, "published, but has only 1024 bits")


def test_a_published_key_that_is_too_short(setup: SendingSetup, zone: Zone) -> None:
    """A key of 512 bits (RFC 8301 forbids it), which today's libraries do not make any more."""
    short = (
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANDiE2+Xi/WnO+s120NiiJhNyIButVu6zxqlVzz0wy2j4kQVUC4ZRZD80IY+4wIi"
        "X2YxKBZKGnd2TtPkcJ/ljkUCAwEAAQ=="
    )
    publish(zone, f"m1._domainkey.{DOMAIN}", f"v=DKIM1; k=rsa; p={short}")
    finding = found(setup)["DKIM m1"]
    assert finding.level is Level.fail
    assert "512 bits" in finding.text


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=DKIM1; k=rsa; p=", "revoked"),
        ("v=DKIM1; k=rsa; p=nonsense!", "is not a key"),
        ("v=spf1 -all", "no key is published"),
        ("", "no key is published"),
    ],
)
def test_no_usable_key_is_published(setup: SendingSetup, zone: Zone, record: str, reason: str) -> None:
    publish(zone, f"m1._domainkey.{DOMAIN}", record)
    finding = found(setup)["DKIM m1"]
    assert finding.level is Level.fail
    assert reason in finding.text
    assert_repaired(setup, zone, finding)


def test_selectors_may_be_aliases(setup: SendingSetup, zone: Zone, keys: DkimKeys) -> None:
    name = f"m1._domainkey.{DOMAIN}"
    publish(zone, "m1.keys.provider.example", keys.find({"domain": DOMAIN, "selector": "m1"})[0].record)
    zone.remove(name, "TXT")
    zone.add(f"{name}. IN CNAME m1.keys.provider.example.")
    assert found(setup)["DKIM m1"].level is Level.ok
    zone.remove("m1.keys.provider.example", "TXT")
    again = replace(setup, lookup=DnsLookup(_address(setup)))
    assert "no key is published" in found(again)["DKIM m1"].text


def test_our_key_is_missing(setup: SendingSetup) -> None:
    finding = found(replace(setup, dkim_keys=DkimKeys(Path("dkim"), {})))["DKIM m1"]
    assert finding.level is Level.fail
    assert finding.text == f"The DKIM key dkim/m1._domainkey.{DOMAIN}.pem is missing"


def test_a_sender_that_leaves_signing_to_the_relay(setup: SendingSetup) -> None:
    findings = found(setup, SENDER.model_copy(update={"sign": None}))
    assert findings["DKIM"].level is Level.warn
    assert findings["alignment"].text == f"SPF proves {DOMAIN}"


def test_no_dmarc(setup: SendingSetup, zone: Zone) -> None:
    zone.remove(f"_dmarc.{DOMAIN}", "TXT")
    finding = found(setup)["DMARC"]
    assert finding.level is Level.fail
    assert finding.publish == f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@{DOMAIN}"'
    assert_repaired(setup, zone, finding)


def test_dmarc_of_the_organisation_counts_for_its_subdomains(setup: SendingSetup, zone: Zone) -> None:
    zone.add(f"mail.{DOMAIN}. IN A 203.0.113.4")
    findings = found(setup, SENDER.model_copy(update={"address": f"news@mail.{DOMAIN}"}))
    assert findings["DMARC"].text.startswith(f"p=quarantine at {DOMAIN}")
    assert findings["alignment"].text == f"SPF and DKIM prove mail.{DOMAIN}"


def test_strict_dmarc_wants_the_very_domain(setup: SendingSetup, zone: Zone) -> None:
    publish(zone, f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject; adkim=s; aspf=s")
    assert found(setup)["alignment"].text == f"DKIM proves {DOMAIN}"
    finding = found(setup, SENDER.model_copy(update={"sign": None}))["alignment"]
    assert finding.level is Level.fail
    assert f"SPF bounce.{DOMAIN} (strict)" in finding.text


def test_other_domains_prove_nothing(setup: SendingSetup, zone: Zone) -> None:
    zone.add("bulk.provider.example. IN MX 10 in.provider.example.")
    zone.add(f'bulk.provider.example. IN TXT "v=spf1 ip4:{RELAY} ip6:{RELAY_SIX} -all"')
    zone.add('_dmarc.provider.example. IN TXT "v=DMARC1; p=reject"')
    finding = found(setup, SENDER.model_copy(update={"sign": None, "bounce_domain": "bulk.provider.example"}))
    assert finding["SPF"].level is Level.ok
    assert finding["alignment"].level is Level.fail
    assert "SPF bulk.provider.example" in finding["alignment"].text


def test_a_public_suffix_is_no_organisation(setup: SendingSetup, zone: Zone) -> None:
    """RFC 9989: `psd=y` says that the domains below belong to different owners."""
    zone.remove(f"_dmarc.{DOMAIN}", "TXT")
    zone.add('_dmarc.example. IN TXT "v=DMARC1; p=reject; psd=y"')
    zone.add("bounce.other.example. IN MX 10 in.other.example.")
    other = SENDER.model_copy(update={"sign": None, "bounce_domain": "bounce.other.example"})
    assert found(setup, other)["DMARC"].level is Level.fail
    zone.add(DMARC)
    again = replace(setup, lookup=DnsLookup(_address(setup)))
    assert found(again, other)["alignment"].level is Level.fail
    assert found(again)["alignment"].level is Level.ok


def test_no_answer_is_no_finding(setup: SendingSetup, zone: Zone) -> None:
    zone.silent.add(f"bounce.{DOMAIN}")
    zone.failing.add(f"m1._domainkey.{DOMAIN}")
    findings = found(setup)
    assert findings["SPF"].level is Level.fail
    assert findings["SPF"].text == f"cannot be checked: the question for TXT of bounce.{DOMAIN} timed out"
    assert findings["DKIM m1"].text == f"cannot be checked: the question for TXT of m1._domainkey.{DOMAIN} failed"
    assert findings["DKIM e1"].level is Level.ok
    assert "DMARC" in findings


def test_a_domain_that_does_not_exist(setup: SendingSetup) -> None:
    nowhere = SENDER.model_copy(update={"address": "news@nowhere.example", "bounce_domain": ""})
    findings = found(setup, nowhere)
    assert findings["domain"].text == "nowhere.example does not exist in DNS"
    assert {findings[check].level for check in ("SPF", "DMARC", "bounces")} == {Level.fail}


def test_an_international_domain_is_asked_for_in_ascii(setup: SendingSetup, zone: Zone) -> None:
    ascii_name = "xn--grnblatt-75a.example"
    zone.add(f"{ascii_name}. IN MX 10 in.{ascii_name}.")
    sender = SENDER.model_copy(update={"address": "news@grünblatt.example", "bounce_domain": "", "sign": None})
    finding = found(setup, sender)["SPF"]
    assert finding.publish.startswith(f"{ascii_name}. IN TXT")
    record = found(setup, sender)["DMARC"].publish
    assert record.startswith(f"_dmarc.{ascii_name}. IN TXT")


@pytest.mark.parametrize("record", ["0 .", None])
def test_a_domain_that_takes_no_mail(setup: SendingSetup, zone: Zone, record: str | None) -> None:
    zone.remove(f"bounce.{DOMAIN}", "MX")
    if record:
        zone.add(f"bounce.{DOMAIN}. IN MX {record}")
    finding = found(setup)["bounces"]
    assert finding.level is Level.fail
    assert finding.publish.startswith(f"bounce.{DOMAIN}. IN MX 10")


def relay_findings(setup: SendingSetup, check: str) -> list[SenderFinding]:
    with_local_relay = replace(setup, server=Server.parse("smtp://127.0.0.1:25", "auto"), sends_from=(RELAY, RELAY_SIX))
    return [item for item in checks.check_relay(with_local_relay) if item.check == check]


def test_addresses_have_names_that_lead_back(setup: SendingSetup, zone: Zone) -> None:
    assert [item.level for item in relay_findings(setup, "PTR")] == [Level.ok, Level.ok]
    zone.remove("9.113.0.203.in-addr.arpa", "PTR")
    zone.remove(f"relay.{DOMAIN}", "AAAA")
    again = replace(setup, lookup=DnsLookup(_address(setup)))
    without, astray = relay_findings(again, "PTR")
    assert (without.level, without.text) == (Level.fail, f"{RELAY} has no name")
    assert without.publish == "9.113.0.203.in-addr.arpa. IN PTR mail.example.com."
    assert astray.publish == f"relay.{DOMAIN}. IN AAAA {RELAY_SIX}"


@pytest.mark.parametrize(
    ("base_url", "level"),
    [
        (f"https://news.{DOMAIN}", Level.ok),
        (f"http://news.{DOMAIN}", Level.fail),
        ("https://127.0.0.1:8080", Level.fail),
        ("https://localhost", Level.fail),
        (f"https://none.{DOMAIN}", Level.fail),
    ],
)
def test_one_click_needs_a_public_https_address(setup: SendingSetup, base_url: str, level: Level) -> None:
    assert relay_findings(replace(setup, base_url=base_url), "one-click")[0].level is level


def test_long_answers_come_by_tcp(setup: SendingSetup, zone: Zone) -> None:
    for number in range(20):
        zone.add(f'bounce.{DOMAIN}. IN TXT "verification-{number}={"x" * 60}"')
    assert found(setup)["SPF"].level is Level.ok


def test_a_logo_is_only_looked_at(setup: SendingSetup, zone: Zone) -> None:
    assert found(setup)["BIMI"].text == "no logo is published; that is optional"
    publish(zone, f"default._bimi.{DOMAIN}", "v=BIMI1; l=https://greenleaf.example/logo.svg")
    again = replace(setup, lookup=DnsLookup(_address(setup)))
    assert found(again)["BIMI"].text == f"a logo is published at default._bimi.{DOMAIN}"
