"""Asks a name server, and tells "there is no such record" from "there is no answer"."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from mailshot.errors import WrongArgument

#: For one question, over all name servers and attempts.
SECONDS = 5.0


class NoAnswer(Exception):
    """No name server answered a question, or the answer was a failure. The message says which question."""


class DnsLookup:
    """Looks up records; each answer is kept, so that a run of checks sees one state."""

    def __init__(self, nameserver: str | None = None, seconds: float = SECONDS) -> None:
        """`nameserver`: `ADDRESS` or `ADDRESS:PORT`; None: those of the system. Raises WrongArgument."""
        self._resolver = _resolver(nameserver)
        self._resolver.lifetime = seconds
        self._resolver.timeout = seconds
        self._answers: dict[tuple[str, str], list[str] | None] = {}

    def exists(self, name: str) -> bool:
        """Return whether a name exists in DNS, with whatever records. Raises NoAnswer, as all lookups do."""
        return self._ask(name, "A") is not None

    def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, the strings of each joined."""
        return self._ask(name, "TXT") or []

    def addresses(self, name: str, version: int | None = None) -> list[str]:
        """Return the addresses of a name: IPv4 (`version` 4), IPv6 (6), or both (None)."""
        kinds = {4: ("A",), 6: ("AAAA",)}.get(version or 0, ("A", "AAAA"))
        return [address for kind in kinds for address in self._ask(name, kind) or []]

    def mail_servers(self, name: str) -> list[str]:
        """Return the host names of a name's MX records, without a dot at the end; "" is a null MX (RFC 7505)."""
        return self._ask(name, "MX") or []

    def names_of(self, address: str) -> list[str]:
        """Return the names of an address (PTR), without a dot at the end."""
        return [name.rstrip(".") for name in self._ask(reverse_name(address), "PTR") or []]

    def _ask(self, name: str, kind: str) -> list[str] | None:
        """Return the records; [] when there are none of this kind, None when the name does not exist."""
        question = (name.lower().rstrip("."), kind)
        if question not in self._answers:
            self._answers[question] = self._resolve(*question)
        return self._answers[question]

    def _resolve(self, name: str, kind: str) -> list[str] | None:
        try:
            answer = self._resolver.resolve(f"{name}.", kind, search=False)
        except dns.resolver.NXDOMAIN:
            return None
        except (dns.resolver.NoAnswer, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return []
        except (dns.exception.DNSException, OSError) as error:
            reason = "timed out" if isinstance(error, dns.exception.Timeout) else "failed"
            raise NoAnswer(f"the question for {kind} of {name} {reason}") from None
        return [_text(record) for record in answer]


def reverse_name(address: str) -> str:
    """Return the name that an address has in DNS for PTR: `10.2.0.192.in-addr.arpa`."""
    return str(dns.reversename.from_address(address)).rstrip(".")


def _text(record: object) -> str:
    if isinstance(record, TXT):
        return b"".join(record.strings).decode("utf-8", "replace")
    if isinstance(record, MX):
        return str(record.exchange).rstrip(".")
    return str(record)


def _resolver(nameserver: str | None) -> dns.resolver.Resolver:
    if nameserver is None:
        try:
            return dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            raise WrongArgument("This system has no name server.", "Name one: --nameserver 9.9.9.9") from None
    resolver = dns.resolver.Resolver(configure=False)
    try:
        address, port = _address(nameserver)
    except ValueError:
        message = f"'{nameserver}' is not the address of a name server."
        raise WrongArgument(message, "Write 9.9.9.9, 127.0.0.1:5353 or [::1]:53.") from None
    resolver.nameservers, resolver.port = [address], port
    return resolver


def _address(text: str) -> tuple[str, int]:
    if text.count(":") > 1 and "[" not in text:
        text = f"[{text}]"
    parts = urlsplit(f"//{text}")
    return str(ip_address(parts.hostname or "")), parts.port or 53
