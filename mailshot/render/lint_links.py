"""Warns of links that say nothing, look like another address, or cannot be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mailshot.render.computed_styles import ComputedStyles
from mailshot.render.document import MailDocument
from mailshot.render.html_tree import HtmlTree, StyledElement
from mailshot.render.links import OWN_LINKS
from mailshot.render.lint import Finding
from mailshot.render.problems import Place

_SAYING_NOTHING = frozenset(
    {
        "click here", "here", "click", "click me", "click this link", "this link", "link", "read more", "more",
        "learn more", "see more", "more info",
        "hier", "hier klicken", "klicken sie hier", "klick hier", "klicke hier", "mehr", "mehr lesen", "weiterlesen",
        "mehr erfahren", "mehr infos",
        "ici", "cliquez ici", "cliquer ici", "clique ici", "en savoir plus", "lire la suite", "lire plus", "plus",
        "voir plus",
        "aquí", "haz clic aquí", "haga clic aquí", "clic aquí", "pulsa aquí", "pincha aquí", "leer más", "ver más",
        "más", "saber más", "más información",
        "her", "klikk her", "klikk", "trykk her", "les mer", "mer", "se mer", "les her", "lær mer",
    }
)  # fmt: skip
"""Texts that name no target, in English, German, French, Spanish and Norwegian."""
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_SHOWN_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?://)|(?P<www>www\.))?(?P<host>(?:[\w-]+\.)+(?P<top>[a-z]{2,}))(?::\d+)?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_TOPS = frozenset(
    {"com", "org", "net", "info", "eu", "de", "fr", "es", "no", "se", "dk", "fi", "nl",
     "be", "at", "ch", "it", "uk", "us", "ie", "pl", "pt", "shop", "example"}
)  # fmt: skip
"""Top-level domains by which a text without https:// or www. counts as an address: `shop.example`, not `Node.js`."""
_MAX_ADDRESS = 300
_HOST = re.compile(r"https?://(?:www\.)?(?P<host>[^\s/?#:]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Link:
    element: StyledElement
    href: str
    text: str
    """What it shows, and the alt texts of its pictures."""
    pictures: tuple[Any, ...]

    @property
    def is_named(self) -> bool:
        """Whether it has a name for screen readers."""
        return any(self.element.tag.value(name).strip() for name in ("aria-label", "aria-labelledby", "title"))


def examine(document: MailDocument, tree: HtmlTree, styles: ComputedStyles | None, body_file: str) -> Iterator[Finding]:
    """Yield the findings about the links of a mail. Without `styles` it is not known which are hidden."""
    links = list(_links(tree))
    vague: dict[str, list[_Link]] = {}
    for link in links:
        if link.pictures and not link.text and not link.is_named and all(_is_mute(image) for image in link.pictures):
            message = "This link has only a picture with an empty alt text. Say in the alt text where it leads."
            yield Finding("warning", message, document.place(link.element.tag.start))
        phrase = _EDGES.sub("", " ".join(link.text.casefold().split()))
        if phrase in _SAYING_NOTHING and not link.is_named:
            vague.setdefault(phrase, []).append(link)
    for found in vague.values():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        message = (
            f"The link text '{found[0].text}'{more} does not say where it leads, and screen readers list links alone. "
            "Name what the reader gets, such as 'See the apples'."
        )
        yield Finding("warning", message, document.place(found[0].element.tag.start))
    yield from _shown_addresses(document, links)
    if styles:
        ours = [link for link in links if any(tag.spells(*OWN_LINKS[0]) for tag in document.segments(link.href))]
        yield from _hidden(document, ours, styles, body_file)


def is_unsubscribe_hidden(tree: HtmlTree, styles: ComputedStyles, url: str) -> bool:
    """Return whether the links of a rendered mail that lead to `url` are all hidden; false without any."""
    links = [link for link in _links(tree) if link.href == url]
    return bool(links) and not any(_is_visible(link, styles) for link in links)


def hidden_unsubscribe(place: Place) -> Finding:
    """Return the error about a mail in which all links to unsubscribe are hidden."""
    return Finding("error", _HIDDEN, place, bulk=True)


def _links(tree: HtmlTree) -> Iterator[_Link]:
    for element in tree.elements:
        href = element.tag.get("href")
        if element.tag.name == "a" and href and href.value:
            node = element.wrapper.etree_element
            pictures = tuple(node.iter("img"))
            texts = [*node.itertext("*"), *(image.get("alt") or "" for image in pictures)]
            yield _Link(element, href.value, " ".join(" ".join(texts).split()), pictures)


def _is_mute(image: Any) -> bool:
    """Return whether a picture has an empty alt text; a missing one is reported by itself."""
    alt = image.get("alt")
    return alt is not None and not alt.strip()


def _shown_addresses(document: MailDocument, links: Iterable[_Link]) -> Iterator[Finding]:
    """Warn of link texts that are addresses: another than the link's, or its own, which click tracking replaces."""
    tracked: list[_Link] = []
    for link in links:
        hosts = _hosts(document, link)
        if hosts and _are_different(*hosts):
            message = (
                f"The text shows the address '{hosts[0]}', but the link leads to '{hosts[1]}'. Filters take that "
                "for phishing. Let the text name the target in words."
            )
            yield Finding("warning", message, document.place(link.element.tag.start))
        elif hosts and link.element.tag.get("data-no-track") is None:
            tracked.append(link)
    if tracked:
        more = f" (and {len(tracked) - 1} more)" if len(tracked) > 1 else ""
        message = (
            f"The link text '{tracked[0].text}'{more} is an address. Click tracking makes the link lead to another "
            "one, which some filters distrust. Name the target in words, or add data-no-track to the tag."
        )
        yield Finding("warning", message, document.place(tracked[0].element.tag.start))


def _hosts(document: MailDocument, link: _Link) -> tuple[str, str] | None:
    """Return the host that a link's text shows, and that of its target; None if the text is no address."""
    if len(link.text) > _MAX_ADDRESS:
        return None
    shown, host = _SHOWN_ADDRESS.fullmatch(link.text), _HOST.match(link.element.tag.value("href").strip())
    if not shown or not host or document.has_tag(shown[0]) or document.has_tag(host[0]):
        return None
    is_address = shown["scheme"] or shown["www"] or shown["top"].lower() in _TOPS
    return (shown["host"], host["host"]) if is_address else None


def _are_different(shown: str, target: str) -> bool:
    """Return whether two hosts are neither equal nor one a part of the other's domain."""
    shown, target = shown.lower().removeprefix("www."), target.lower()
    return shown != target and not target.endswith(f".{shown}") and not shown.endswith(f".{target}")


def _hidden(document: MailDocument, ours: list[_Link], styles: ComputedStyles, body_file: str) -> Iterator[Finding]:
    """Yield an error if the only links to unsubscribe are hidden."""
    if ours and not any(_is_visible(link, styles) for link in ours):
        place = document.place(ours[0].element.tag.start)
        yield hidden_unsubscribe(place if place.line else Place(body_file, 0, 0))


_HIDDEN = (
    "The unsubscribe link is hidden: not displayed, too small, or in the colour of its background. "
    "Customers must be able to see it."
)


def _is_visible(link: _Link, styles: ComputedStyles) -> bool:
    """Return whether a link shows any text or picture; one without content is reported by itself."""
    node = link.element.wrapper.etree_element
    if not link.text and not link.pictures:
        return True
    for inner in node.iter("*"):
        look = styles.look(inner)
        if inner.tag == "img" and not look.is_gone:
            return True
        texts = [inner.text, *(child.tail for child in inner)]
        if any(text and text.strip() for text in texts) and not look.is_hidden:
            return True
    return False
