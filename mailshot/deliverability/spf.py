"""Evaluates SPF (RFC 7208): which addresses may send for a domain, and how many look-ups that takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from mailshot.deliverability.dns_lookup import DnsLookup, reverse_name

#: Terms that ask DNS, in one evaluation (RFC 7208 section 4.6.4). Receivers give up after these.
MAX_LOOKUPS = 10
#: Where counting stops: a record that includes itself many times over must not keep us busy.
MAX_COUNTED = 50
#: Host names that one `mx` or `ptr` may lead to (RFC 7208 section 4.6.4).
MAX_HOSTS = 10
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_ASKS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_MECHANISMS = _ASKS - {"redirect"} | {"all", "ip4", "ip6"}
_TERM = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?:(?P<sign>[:=])(?P<value>\S*?))?"
    r"(?:/(?P<four>\d{1,3}))?(?://(?P<six>\d{1,3}))?"
)
_MACRO = re.compile(r"%(?:\{(?P<letter>[A-Za-z])(?P<last>\d*)(?P<reverse>r?)(?P<split>[.\-+,/_=]*)\}|(?P<plain>[%_-]))")


class SpfError(Exception):
    """A receiver cannot evaluate the record (permerror); the message says why."""


@dataclass(frozen=True, slots=True)
class _Term:
    """One mechanism or modifier of a record, its name in lower case."""

    qualifier: str
    name: str
    value: str
    #: Length of the prefix for IPv4 and IPv6; None: the whole address.
    four: int | None
    six: int | None


def records(lookup: DnsLookup, domain: str) -> list[str]:
    """Return the SPF records of a domain; there should be one (RFC 7208 section 4.5)."""
    return [text for text in lookup.texts(domain) if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]


def count_lookups(lookup: DnsLookup, domain: str) -> int:
    """Count the terms of a domain's record, and of all that it includes, that ask DNS. Raises SpfError.

    It is what a receiver needs for an address that nothing matches. More than `MAX_COUNTED` are not counted.
    """
    return _Counter(lookup).count(domain, ())


def evaluate(lookup: DnsLookup, domain: str, address: str) -> str:
    """Return what receivers conclude for a mail from an address: pass, fail, softfail or neutral. Raises SpfError."""
    return _Evaluation(lookup, address, domain).result(domain)


class _Counter:
    def __init__(self, lookup: DnsLookup) -> None:
        self._lookup, self._total = lookup, 0

    def count(self, domain: str, path: tuple[str, ...]) -> int:
        if domain in path:
            raise SpfError(f"the record of {domain} includes itself")
        for term in _effective(_terms(_the_record(self._lookup, domain))):
            self._total += term.name in _ASKS
            if self._total > MAX_COUNTED:
                break
            if term.name in ("include", "redirect") and "%" not in term.value:
                self.count(_name(term.value), (*path, domain))
        return self._total


class _Evaluation:
    def __init__(self, lookup: DnsLookup, address: str, sender_domain: str) -> None:
        self._lookup, self._address, self._sender_domain = lookup, ip_address(address), sender_domain
        self._asked = 0

    def result(self, domain: str) -> str:
        for term in _effective(_terms(_the_record(self._lookup, domain))):
            self._asked += term.name in _ASKS
            if self._asked > MAX_LOOKUPS:
                raise SpfError(f"it takes more than {MAX_LOOKUPS} look-ups")
            if term.name == "redirect":
                return self.result(self._target(term, domain))
            if self._matches(term, domain):
                return RESULTS[term.qualifier]
        return "neutral"

    def _matches(self, term: _Term, domain: str) -> bool:
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._is_in(term.value, term.four)
            case "include":
                return self.result(self._target(term, domain)) == "pass"
            case "exists":
                return bool(self._lookup.addresses(self._target(term, domain)))
            case "a":
                return self._is_host(self._target(term, domain), term)
            case "mx":
                hosts = self._lookup.mail_servers(self._target(term, domain))[:MAX_HOSTS]
                return any(self._is_host(host, term) for host in hosts if host)
        target = self._target(term, domain)
        names = self._lookup.names_of(str(self._address))[:MAX_HOSTS]
        return any(f".{name}".endswith(f".{target}") and self._is_host(name, term) for name in names)

    def _is_host(self, host: str, term: _Term) -> bool:
        found = self._lookup.addresses(host)
        return any(self._is_in(address, term.six if ":" in address else term.four) for address in found)

    def _is_in(self, address: str, length: int | None) -> bool:
        try:
            network = ip_network(f"{address}/{length}" if length is not None else address, strict=False)
        except ValueError:
            raise SpfError(f"'{address}' is not an address") from None
        return self._address.version == network.version and self._address in network

    def _target(self, term: _Term, domain: str) -> str:
        return _name(_MACRO.sub(lambda macro: self._expanded(macro, domain), term.value)) if term.value else domain

    def _expanded(self, macro: re.Match[str], domain: str) -> str:
        """Return what a macro stands for (RFC 7208 section 7)."""
        if macro["plain"]:
            return {"%": "%", "_": " ", "-": "%20"}[macro["plain"]]
        six = isinstance(self._address, IPv6Address)
        dotted = ".".join(reverse_name(str(self._address)).split(".")[31::-1]) if six else str(self._address)
        values = {
            "s": f"postmaster@{self._sender_domain}", "l": "postmaster", "o": self._sender_domain, "d": domain,
            "i": dotted, "v": "ip6" if six else "in-addr", "h": self._sender_domain,
        }  # fmt: skip
        letter = macro["letter"].lower()
        if letter not in values:
            raise SpfError(f"the macro {macro[0]} cannot be evaluated here")
        parts = re.split(f"[{re.escape(macro['split'] or '.')}]", values[letter])
        parts = parts[::-1] if macro["reverse"] else parts
        return ".".join(parts[-int(macro["last"]) :] if macro["last"] else parts)


def _the_record(lookup: DnsLookup, domain: str) -> str:
    found = records(lookup, domain)
    if len(found) != 1:
        raise SpfError(f"{domain} has {len(found) or 'no'} SPF record{'s' if found else ''}")
    return found[0]


def _terms(record: str) -> Iterator[_Term]:
    for text in record.split()[1:]:
        match = _TERM.fullmatch(text)
        name = match["name"].lower() if match else ""
        if match is None or (match["sign"] != "=" and name not in _MECHANISMS):
            raise SpfError(f"'{text}' is not an SPF term")
        if match["sign"] == "=" and name != "redirect":
            continue  # `exp=`, and modifiers that we do not know (RFC 7208 section 6)
        if name in ("include", "exists", "redirect", "ip4", "ip6") and not match["value"]:
            raise SpfError(f"'{text}' lacks its value")
        four, six = (int(match[part]) if match[part] else None for part in ("four", "six"))
        yield _Term(match["qualifier"] or "+", name, match["value"] or "", four, six)


def _effective(terms: Iterator[_Term]) -> list[_Term]:
    """Return the terms that are evaluated: those up to `all`, else all of them with `redirect` last."""
    mechanisms: list[_Term] = []
    redirects: list[_Term] = []
    for term in terms:
        (redirects if term.name == "redirect" else mechanisms).append(term)
    for number, term in enumerate(mechanisms):
        if term.name == "all":
            return mechanisms[: number + 1]
    return [*mechanisms, *redirects[:1]]


def _name(domain: str) -> str:
    return domain.lower().rstrip(".")
