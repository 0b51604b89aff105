"""Evaluates SPF (RFC 7208): which addresses may send for a domain, and how many look-ups that takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from mailshot.deliverability.dns_lookup import DnsLookup, reverse_name

#: Terms that ask DNS, in one evaluation (RFC 7208 section 4.6.4). Receivers give up after these.
MAX_LOOKUPS = 10
#: Where counting stops: a record that includes itself many times over must not keep us busy.
MAX_COUNTED = 50
#: Host names that one `mx` or `ptr` may lead to (RFC 7208 section 4.6.4).
MAX_HOSTS = 10
#: Look-ups without a result, in one evaluation (RFC 7208 section 4.6.4).
MAX_VOID = 2
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_ASKS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_MACRO = re.compile(r"%(?:\{(?P<letter>[A-Za-z])(?P<last>\d*)(?P<reverse>r?)(?P<split>[.\-+,/_=]*)\}|(?P<plain>[%_-]))")
_TEXT = r"(?:[!-$&-~]|%\{[slodipvhSLODIPVH]\d*r?[.\-+,/_=]*\}|%[%_-])*"
_LABEL = r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN = rf"(?P<value>{_TEXT}(?:\.{_LABEL}\.?|%\{{[slodipvhSLODIPVH]\d*r?[.\-+,/_=]*\}}))"
_FOUR, _SIX = r"(?:/(?P<four>0|[1-9]\d?))?", r"(?:/(?P<six>0|[1-9]\d{0,2}))?"
#: What may follow the name of a term (RFC 7208 section 12).
_SYNTAX = {
    "all": "",
    "include": f":{_DOMAIN}",
    "exists": f":{_DOMAIN}",
    "a": f"(?::{_DOMAIN})?{_FOUR}(?:/{_SIX})?",
    "mx": f"(?::{_DOMAIN})?{_FOUR}(?:/{_SIX})?",
    "ptr": f"(?::{_DOMAIN})?",
    "ip4": rf":(?P<value>[\d.]+){_FOUR}",
    "ip6": rf":(?P<value>[0-9A-Fa-f:.]+){_SIX}",
    "redirect": f"={_DOMAIN}",
    "exp": f"={_DOMAIN}",
}
_OTHER_MODIFIER = f"=(?P<value>{_TEXT})"
_TERM = re.compile(r"(?P<qualifier>[+?~-]?)(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?P<rest>.*)", re.DOTALL)


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
    """Return the SPF records of a domain, sorted; there should be one (RFC 7208 section 4.5)."""
    return [text for text in sorted(lookup.texts(domain)) if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]


def count_lookups(lookup: DnsLookup, domain: str) -> int:
    """Count the terms of a domain's record, and of all that it includes, that ask DNS. Raises SpfError.

    It is what a receiver needs for an address that nothing matches. More than `MAX_COUNTED` are not counted.
    """
    return _Counter(lookup).count(domain, ())


def evaluate(lookup: DnsLookup, domain: str, address: str) -> str:
    """Return what receivers conclude for a mail from an address: pass, fail, softfail or neutral. Raises SpfError."""
    return _Evaluation(lookup, address, domain).result(domain)


def lets_all_pass(record: str) -> bool:
    """Return whether a record ends with `all` or `+all`: then it says nothing about anybody. Raises SpfError."""
    return any(term.name == "all" and term.qualifier == "+" for term in _terms(record))


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
        given = ip_address(address)
        self._address = (isinstance(given, IPv6Address) and given.ipv4_mapped) or given
        self._lookup, self._sender_domain = lookup, sender_domain
        self._asked = self._void = 0

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
                return self._is_in(term.value, term.six if term.name == "ip6" else term.four)
            case "include":
                return self.result(self._target(term, domain)) == "pass"
            case "exists":
                return bool(self._counted(self._lookup.addresses(self._target(term, domain), 4)))
            case "a":
                return self._is_host(self._target(term, domain), term)
            case "mx":
                hosts = self._counted(self._lookup.mail_servers(self._target(term, domain)))
                if len(hosts) > MAX_HOSTS:
                    raise SpfError(f"mx leads to more than {MAX_HOSTS} hosts")
                return any(self._is_host(host, term) for host in hosts if host)
        names = self._counted(self._lookup.names_of(str(self._address)))[:MAX_HOSTS]
        target = self._target(term, domain)
        return any(f".{_name(name)}".endswith(f".{target}") and self._is_host(name, term) for name in names)

    def _counted(self, found: list[str]) -> list[str]:
        """Return what was found; too many look-ups without a result end the evaluation."""
        self._void += not found
        if self._void > MAX_VOID:
            raise SpfError(f"more than {MAX_VOID} look-ups find nothing")
        return found

    def _is_host(self, host: str, term: _Term) -> bool:
        length = term.six if self._address.version == 6 else term.four
        found = self._counted(self._lookup.addresses(host, self._address.version))
        return any(self._is_in(address, length) for address in found)

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


def _terms(record: str) -> list[_Term]:
    terms = [_term(text) for text in record.split(" ")[1:] if text]
    for name in ("redirect", "exp"):
        if sum(term.name == name for term in terms) > 1:
            raise SpfError(f"it has {name}= twice")
    return terms


def _term(text: str) -> _Term:
    """Read a mechanism or modifier; a modifier that we do not know has its name and counts for nothing."""
    head = _TERM.fullmatch(text)
    name = head["name"].lower() if head else ""
    is_other = bool(head and name not in _SYNTAX and not head["qualifier"])
    match = re.fullmatch(_OTHER_MODIFIER if is_other else _SYNTAX.get(name, ".{0}x"), head["rest"]) if head else None
    if head is None or match is None or (head["qualifier"] and name in ("redirect", "exp")):
        raise SpfError(f"'{text}' is not an SPF term")
    values = match.groupdict(default="")
    four, six = (int(values[part]) if values.get(part) else None for part in ("four", "six"))
    if (four or 0) > 32 or (six or 0) > 128:
        raise SpfError(f"'{text}' has a prefix that is too long")
    return _Term(head["qualifier"] or "+", name, values.get("value", ""), four, six)


def _effective(terms: Sequence[_Term]) -> list[_Term]:
    """Return the terms that are evaluated: those up to `all`, else all mechanisms with `redirect` last."""
    mechanisms = [term for term in terms if term.name in _SYNTAX and term.name not in ("redirect", "exp")]
    for number, term in enumerate(mechanisms):
        if term.name == "all":
            return mechanisms[: number + 1]
    return [*mechanisms, *(term for term in terms if term.name == "redirect")]


def _name(domain: str) -> str:
    return domain.lower().rstrip(".")
