"""Checks one sender, and the relay that all senders share. Start at `check_sender` and `check_relay`.

Gmail and Yahoo (since 2024) and Outlook (since 2025) want all of it from those who send thousands of mails a day: SPF
and DKIM, DMARC aligned with From, a name for the sending address, TLS, and one-click unsubscribe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from mailshot.deliver import relay_tls
from mailshot.deliver.smtp import LOOPBACK, Server
from mailshot.deliverability import dkim_record, dmarc, spf, zone_file
from mailshot.deliverability.dmarc import DmarcRecord
from mailshot.deliverability.dns_lookup import DnsLookup, reverse_name
from mailshot.deliverability.sender_finding import Level, SenderFinding, guarded
from mailshot.profile.senders import Sender
from mailshot.render.dkim_keys import DkimKeys, identities
from mailshot.render.headers import ascii_domain

#: Networks whose addresses no receiver ever sees (RFC 1918, 4193, 6890).
LOCAL_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7",
        "fe80::/10",
    )
)  # fmt: skip
SENDS_FROM = "Name the addresses that mails leave from with --sends-from."
POLICIES = {
    "none": "receivers only monitor",
    "quarantine": "others' mail goes to spam",
    "reject": "others' mail is rejected",
}


@dataclass(frozen=True, slots=True)
class SendingSetup:
    """What all senders share."""

    lookup: DnsLookup
    server: Server
    dkim_keys: DkimKeys
    #: Public address of the customer pages.
    base_url: str
    #: IP addresses that mails leave from, where these are not the relay's own.
    sends_from: Sequence[str] = ()


def check_sender(sender: Sender, setup: SendingSetup) -> list[SenderFinding]:
    """Check what DNS says about a sender: SPF, DKIM, DMARC, where bounces go, BIMI."""
    lookup, domain = setup.lookup, ascii_domain(sender.domain)
    envelope = ascii_domain(sender.bounce_domain or sender.domain)
    return [
        *guarded("domain", lambda: _check_domains(lookup, domain, envelope)),
        *guarded("SPF", lambda: _check_spf(setup, envelope)),
        *dkim_record.check_keys(sender, setup.dkim_keys, lookup),
        *guarded("DMARC", lambda: _check_dmarc(lookup, sender, domain, envelope)),
        *guarded("bounces", lambda: _check_bounces(lookup, envelope)),
        *guarded("BIMI", lambda: _check_bimi(lookup, domain)),
    ]


def check_relay(setup: SendingSetup) -> list[SenderFinding]:
    """Check the relay's TLS, the names of its addresses, and the address of the customer pages."""
    return [
        *_check_tls(setup.server),
        *guarded("PTR", lambda: _check_names(setup)),
        *guarded("one-click", lambda: _check_base_url(setup)),
    ]


def _check_domains(lookup: DnsLookup, domain: str, envelope: str) -> list[SenderFinding]:
    return [
        SenderFinding(
            Level.fail, "domain", f"{name} does not exist in DNS", remedy="Register it, or correct senders.yaml."
        )
        for name in dict.fromkeys((domain, envelope))
        if not lookup.exists(name)
    ]


def sending_addresses(setup: SendingSetup) -> list[str]:
    """Return the public addresses that mails leave from, as far as they are known. Raises NoAnswer."""
    if setup.sends_from:
        return list(setup.sends_from)
    host = setup.server.host
    if host in LOOPBACK:
        return []
    try:
        found = [str(ip_address(host))]
    except ValueError:
        found = setup.lookup.addresses(host)
    return [address for address in found if not _is_local(address)]


def _is_local(address: str) -> bool:
    return any(ip_address(address) in network for network in LOCAL_NETWORKS)


def _check_spf(setup: SendingSetup, domain: str) -> list[SenderFinding]:
    records = spf.records(setup.lookup, domain)
    addresses = sending_addresses(setup)
    if not records:
        # Without an address it would only forbid: better no line to paste.
        publish = zone_file.txt_record(domain, _with_addresses("v=spf1 ~all", addresses)) if addresses else ""
        remedy = "" if addresses else f"Publish the record that your relay's operator names, or: {SENDS_FROM}"
        return [SenderFinding(Level.fail, "SPF", f"{domain} has no SPF record", publish, remedy)]
    if len(records) > 1:
        publish = zone_file.txt_record(domain, _merged(records))
        text = f"{domain} has {len(records)} SPF records, and receivers accept only one"
        return [SenderFinding(Level.fail, "SPF", text, publish, "Replace all of them with this one.")]
    try:
        lookups = spf.count_lookups(setup.lookup, domain)
    except spf.SpfError as error:
        return [SenderFinding(Level.fail, "SPF", f"{records[0]!r} cannot be evaluated: {error}", remedy="Correct it.")]
    if lookups > spf.MAX_LOOKUPS:
        text = f"{domain} takes {lookups} look-ups, and receivers stop at {spf.MAX_LOOKUPS} (RFC 7208)"
        remedy = "Remove includes that you no longer use, or replace names with ip4: and ip6: addresses."
        return [SenderFinding(Level.fail, "SPF", text, remedy=remedy)]
    return _check_spf_relay(setup, domain, records[0], addresses, lookups)


def _check_spf_relay(
    setup: SendingSetup, domain: str, record: str, addresses: Sequence[str], lookups: int
) -> list[SenderFinding]:
    """Evaluate a record, which is sound, for the addresses that mails leave from."""
    count = f"one record, {lookups} of {spf.MAX_LOOKUPS} look-ups"
    if not addresses:
        text = f"{count}; whether it includes {setup.server} cannot be found out, as its public address is unknown"
        return [SenderFinding(Level.warn, "SPF", text, remedy=SENDS_FROM)]
    try:
        results = {address: spf.evaluate(setup.lookup, domain, address) for address in addresses}
    except spf.SpfError as error:
        return [SenderFinding(Level.fail, "SPF", f"{record!r} cannot be evaluated: {error}", remedy="Correct it.")]
    if spf.lets_all_pass(record):
        text = f"{record!r} lets everyone send as {domain}"
        publish = zone_file.txt_record(domain, _with_addresses("v=spf1 ~all", addresses))
        return [SenderFinding(Level.warn, "SPF", text, publish, "Add what else sends for the domain.")]
    outside = [address for address, result in results.items() if result != "pass"]
    if not outside:
        return [SenderFinding(Level.ok, "SPF", f"{count}, includes {', '.join(addresses)}")]
    text = f"the record of {domain} does not include {', '.join(f'{item} ({results[item]})' for item in outside)}"
    remedy = "If mails leave from other addresses than the relay's own, name them with --sends-from."
    publish = zone_file.txt_record(domain, _with_addresses(record, outside))
    return [SenderFinding(Level.fail, "SPF", text, publish, "" if setup.sends_from else remedy)]


def _with_addresses(record: str, addresses: Sequence[str]) -> str:
    version, *terms = record.split()
    return " ".join([version, *(f"ip{6 if ':' in address else 4}:{address}" for address in addresses), *terms])


def _merged(records: Sequence[str]) -> str:
    """Return one record with the terms of all; of several `all`, the one that lets most pass."""
    terms = list(dict.fromkeys(term for record in records for term in record.split()[1:]))
    ends = [term for term in terms if term.lower().lstrip("+-~?") == "all"]
    end = max(ends, key=lambda term: "-~?".find(term[0]) if term[0] in "-~?" else 3, default="~all")
    return " ".join(["v=spf1", *(term for term in terms if term not in ends), end])


def _check_dmarc(lookup: DnsLookup, sender: Sender, domain: str, envelope: str) -> list[SenderFinding]:
    if len(own := dmarc.records(lookup, domain)) > 1:
        text = f"{domain} has {len(own)} DMARC records, so receivers ignore all of them"
        return [SenderFinding(Level.fail, "DMARC", text, remedy=f"Keep one TXT record at _dmarc.{domain}.")]
    record = dmarc.find_record(lookup, domain)
    if record is None:
        publish = zone_file.txt_record(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}")
        text = f"neither {domain} nor a domain above it has a DMARC record"
        return [
            SenderFinding(Level.fail, "DMARC", text, publish, "The reports go to that mailbox; choose one that exists.")
        ]
    if record.policy not in POLICIES:
        text = f"the record of {record.domain} has p={record.policy}, which is not a valid policy"
        publish = zone_file.txt_record(f"_dmarc.{record.domain}", "v=DMARC1; p=none")
        return [SenderFinding(Level.fail, "DMARC", text, publish)]
    policy = f"p={record.policy} at {record.domain}: {POLICIES[record.policy]}"
    return [SenderFinding(Level.ok, "DMARC", policy), _check_alignment(lookup, sender, domain, envelope, record)]


def _check_alignment(
    lookup: DnsLookup, sender: Sender, domain: str, envelope: str, record: DmarcRecord
) -> SenderFinding:
    """Say which of SPF and DKIM proves the domain of From; one is enough (RFC 9989)."""
    proofs = {"SPF": (envelope, record.is_strict("aspf"))}
    if signing := identities(sender.sign.model_dump() if sender.sign else None):
        proofs["DKIM"] = (signing[0][0], record.is_strict("adkim"))
    aligned = [name for name, (proved, strict) in proofs.items() if dmarc.is_aligned(lookup, proved, domain, strict)]
    if aligned:
        return SenderFinding(
            Level.ok, "alignment", f"{' and '.join(aligned)} {'prove' if aligned[1:] else 'proves'} {domain}"
        )
    shown = ", ".join(f"{name} {proved}{' (strict)' if strict else ''}" for name, (proved, strict) in proofs.items())
    remedy = (
        f"Set bounce_domain or sign in rules/senders.yaml to {domain} or, unless DMARC is strict, a domain of its own."
    )
    if not sender.sign:
        remedy = f"{remedy} A relay that signs as {domain} is enough, too."
    return SenderFinding(
        Level.fail, "alignment", f"From has {domain}, but only other domains are proved: {shown}", remedy=remedy
    )


def _check_bounces(lookup: DnsLookup, domain: str) -> list[SenderFinding]:
    servers = lookup.mail_servers(domain)
    if any(servers):
        return [SenderFinding(Level.ok, "bounces", f"{domain} takes mail at {', '.join(filter(None, servers))}")]
    if not servers and lookup.addresses(domain):
        return [SenderFinding(Level.ok, "bounces", f"{domain} takes mail at its own address; an MX record is usual")]
    publish = zone_file.record(domain, "MX", f"10 mail.{domain}.")
    remedy = "Write the host of your mailbox (docs/feedback.md). Some receivers reject senders that take no mail."
    return [SenderFinding(Level.fail, "bounces", f"{domain} takes no mail, so bounces are lost", publish, remedy)]


def _check_bimi(lookup: DnsLookup, domain: str) -> list[SenderFinding]:
    name = f"default._bimi.{dmarc.organizational_domain(lookup, domain)}"
    found = [text for text in lookup.texts(name) if text.startswith("v=BIMI1")]
    text = f"a logo is published at {name}" if found else "no logo is published; that is optional"
    return [SenderFinding(Level.ok, "BIMI", text)]


def _check_tls(server: Server) -> list[SenderFinding]:
    if server.host in LOOPBACK and not server.secure and not server.tls:
        return [SenderFinding(Level.ok, "TLS", f"{server} is on this machine, so it needs no TLS")]
    problem = relay_tls.find_problem(server)
    if problem is None:
        return [SenderFinding(Level.ok, "TLS", f"{server} offers TLS with a valid certificate")]
    return [
        SenderFinding(Level.fail, "TLS", f"{server}: {problem}", remedy=f"See {server.setting} and MAILSHOT_STARTTLS.")
    ]


def _check_names(setup: SendingSetup) -> list[SenderFinding]:
    addresses = sending_addresses(setup)
    if not addresses:
        text = f"the public address of {setup.server} is unknown"
        return [SenderFinding(Level.warn, "PTR", text, remedy=SENDS_FROM)]
    return [_check_name(setup.lookup, address) for address in addresses]


def _check_name(lookup: DnsLookup, address: str) -> SenderFinding:
    """Check that an address has a name that leads back to it (RFC 1912 section 2.1)."""
    names = lookup.names_of(address)
    remedy = "The owner of the address, such as your provider, sets its PTR record. It must lead back to the address."
    if not names:
        publish = zone_file.record(reverse_name(address), "PTR", "mail.example.com.")
        return SenderFinding(Level.fail, "PTR", f"{address} has no name", publish, remedy)
    confirmed = [name for name in names if ip_address(address) in map(ip_address, lookup.addresses(name))]
    if confirmed:
        return SenderFinding(Level.ok, "PTR", f"{address} is {confirmed[0]}, which leads back to it")
    publish = zone_file.record(names[0], "AAAA" if ":" in address else "A", address)
    return SenderFinding(Level.fail, "PTR", f"{address} is {names[0]}, which does not lead back to it", publish, remedy)


def _check_base_url(setup: SendingSetup) -> list[SenderFinding]:
    """Check that receivers can reach the one-click address (RFC 8058), by its form and its name."""
    parts, remedy = urlsplit(setup.base_url), "Set MAILSHOT_BASE_URL, for example to https://news.example.com."
    host = parts.hostname or ""
    if parts.scheme != "https":
        text = f"{setup.base_url} is not https, so receivers offer no one-click unsubscribe"
        return [SenderFinding(Level.fail, "one-click", text, remedy=remedy)]
    try:
        addresses = [str(ip_address(host))]
    except ValueError:
        addresses = [] if host in LOOPBACK else setup.lookup.addresses(ascii_domain(host))
    if not [address for address in addresses if not _is_local(address)]:
        return [SenderFinding(Level.fail, "one-click", f"{host} has no public address", remedy=remedy)]
    return [SenderFinding(Level.ok, "one-click", f"{setup.base_url} is https on a public address")]
