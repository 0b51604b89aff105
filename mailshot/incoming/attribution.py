"""Finds our own tokens in a message that came back, so that it can be matched with the mail it is about.

Only a verified token counts: addresses and Message-IDs can be made up by anybody. A link's token only tells which mail
a message is about: the text of a mail is forwarded and published, so a bounce that quotes it proves nothing.

Servers change what passes through them, so a token is found in another case, after a prefix, before a suffix, with an
encoded plus or @, in brackets and wrapped over two lines. It is looked for where forgery is least useful first: the
envelope's recipient, the headers, the returned mail, and links quoted anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailshot.incoming.contents import Contents
from mailshot.incoming.mime_tree import IncomingPart
from mailshot.states import HelpEnum
from mailshot.tokens import PREFIXES, KeyRing, Purpose

#: Each costs a few digests. A mail of ours has about twenty links.
MAX_CANDIDATES = 200
MAX_SCANNED = 256 * 2**10
MAX_TOKENS = 10
#: Links leave room for a proof behind them.
MAX_LINK_TOKENS = 5

_IN_ADDRESS = re.compile(
    rf"(?<![0-9a-z])({'|'.join(PREFIXES.values())})(?:\+|=2b|%2b"
    rf"|&#43;)([0-9a-v]{{28,120}})(?![0-9a-z])",
    re.IGNORECASE,
)
_IN_MESSAGE_ID = re.compile(r"<([A-Za-z0-9_-]{24,120})(?:@|=40|%40)")
_IN_LINK = re.compile(r"/[a-z]/([A-Za-z0-9_-]{24,120})")
_WRAPPED = re.compile(r"=?\n[ \t>|]{0,8}")
#: Of tokens that stand only in the header and the envelope of a mail. Its links are in the text, which people forward
#: and publish. The reply address is not among them: everybody in a conversation knows it.
PROOFS = (Purpose.bounce, Purpose.leave, Purpose.message)
_LINK_PURPOSES = (Purpose.unsubscribe, Purpose.preferences, Purpose.view, Purpose.click, Purpose.open)
_RECIPIENT_HEADERS = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-rcpt-to",
    "to",
    "cc",
    "original-recipient",
)
_THREAD_HEADERS = ("in-reply-to", "references", "thread-topic", "original-message-id")


class TokenPlace(HelpEnum):
    """Where a token was found, the most trustworthy place first."""

    provider = "provider", "in what a mail provider reports about the mail"
    recipient = "recipient", "in the envelope's recipient"
    header = "header", "in the header: the recipient, or the mail it answers"
    returned = "returned", "in the header of the mail that came back"
    quoted = "quoted", "in a link, an address or a Message-ID quoted in the text"


#: Where a token says to whom a message was sent.
ADDRESSED = (TokenPlace.recipient, TokenPlace.header)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token with our signature."""

    purpose: Purpose
    #: What it was signed with: the run's and the customer's number first.
    ids: tuple[int, ...]
    place: TokenPlace

    @property
    def is_proof(self) -> bool:
        """Whether its writer has the header or envelope of the mail, not only a link or the reply address."""
        return self.purpose in PROOFS


def find_tokens(message: IncomingPart, contents: Contents, keys: KeyRing, recipient: str | None) -> list[VerifiedToken]:
    """Return the verified tokens of a message: first the reply address that it was sent to, then proofs, then links."""
    return _reply_address_first(_find(_places(message, contents, recipient), keys))


def _reply_address_first(tokens: list[VerifiedToken]) -> list[VerifiedToken]:
    """Put the reply address that a message was sent to before all that it quotes, even before proofs.

    Servers send reports to the envelope's sender (RFC 3464 section 2), never to Reply-To. A report that comes to a
    reply address is therefore not from a server that got our mail, and must not suppress anybody, although a thread
    gives its readers our Message-IDs. A message to one of our other addresses as well is about that one.
    """
    own = [token for token in tokens if token.place in ADDRESSED and token.purpose in PREFIXES]
    sent_to = [token for token in own if token.place is TokenPlace.recipient] or own
    if any(token.purpose is not Purpose.reply for token in sent_to):
        return tokens
    return sorted(tokens, key=lambda token: token not in sent_to)


def find_in(texts: Iterable[str], keys: KeyRing) -> list[VerifiedToken]:
    """Return the verified tokens in identifiers of a mail that its provider repeats, in their order."""
    return _find(((TokenPlace.provider, text) for text in texts), keys)


def _find(places: Iterable[tuple[TokenPlace, str]], keys: KeyRing) -> list[VerifiedToken]:
    tokens: dict[tuple[Purpose, tuple[int, ...]], VerifiedToken] = {}
    budget = MAX_CANDIDATES
    for place, text in places:
        for purposes, candidate in _candidates(text):
            is_link = purposes is _LINK_PURPOSES
            if budget == 0 or len(tokens) >= (MAX_LINK_TOKENS if is_link else MAX_TOKENS):
                continue
            budget -= 1
            verified = _verify(keys, purposes, candidate)
            if verified is not None:
                tokens.setdefault(verified, VerifiedToken(*verified, place))
    return sorted(tokens.values(), key=lambda token: not token.is_proof)


def may_have_token(raw: bytes, recipient: str | None) -> bool:
    """Return whether something in a message looks like a token, which only `find_tokens` verifies."""
    text = f"{recipient or ''}\n{raw[:MAX_SCANNED].decode('latin-1')}"
    return next(_candidates(text), None) is not None


def _places(message: IncomingPart, contents: Contents, recipient: str | None) -> Iterator[tuple[TokenPlace, str]]:
    if recipient:
        yield TokenPlace.recipient, recipient[:1000]
    names = (*_RECIPIENT_HEADERS, *_THREAD_HEADERS)
    yield TokenPlace.header, "\n".join(value for name, value in message.headers if name in names)
    if contents.returned is not None:
        yield TokenPlace.returned, "\n".join(value for _, value in contents.returned.headers)
        yield TokenPlace.quoted, contents.returned.body[:MAX_SCANNED].decode("latin-1")
        yield from ((TokenPlace.quoted, part.text()) for part in contents.returned.walk() if not part.parts)
    for group in contents.fields:
        yield TokenPlace.quoted, "\n".join(group.values())
    yield TokenPlace.quoted, "\n".join((contents.feedback or {}).values())
    yield TokenPlace.quoted, contents.notice
    yield TokenPlace.quoted, message.body[:MAX_SCANNED].decode("latin-1")


def _candidates(text: str) -> Iterator[tuple[tuple[Purpose, ...], str]]:
    """Return what looks like a token in a text, as it is and with its lines joined."""
    text = text[:MAX_SCANNED].replace("\r", "")
    joined = _WRAPPED.sub("", text) if "\n" in text else ""
    for version in filter(None, (text, joined, text.replace(" ", "") if " " in text and len(text) < 2000 else "")):
        for match in _IN_ADDRESS.finditer(version):
            yield (), f"{match[1]}+{match[2]}"
        for match in _IN_MESSAGE_ID.finditer(version):
            yield (Purpose.message,), match[1]
        for match in _IN_LINK.finditer(version):
            yield _LINK_PURPOSES, match[1]


def _verify(keys: KeyRing, purposes: tuple[Purpose, ...], candidate: str) -> tuple[Purpose, tuple[int, ...]] | None:
    if not purposes:
        return keys.verify_local_part(candidate)
    for purpose in purposes:
        ids = keys.verify(purpose, candidate)
        if ids is not None:
            return purpose, ids
    return None
