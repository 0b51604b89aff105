"""Small templates and values for the tests of render."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml import YAML

from mailshot.render import source, template
from mailshot.render.links import OWN_PAGES
from mailshot.render.mime import MailHeaders

TEMPLATES = Path(__file__).parents[2] / "templates"
NAMES = ("market", "vegetables", "weekly", "winback")
SHOP = "shop.greenleaf.example"
VOCABULARY = {
    "customer": {"first_name", "last_name", "email", "language", "household_size"},
    "campaign": {"name"},
    "company": {"brand", "logo", "logo_alt", "logo_width"},
    "sender": {"name", "postal_address", "email"},
    "offers": template.ListType({"key", "name", "department", "category", "brand", "size", "url", "reason"}),
    "links": set(OWN_PAGES),
    "traits": {"diet"},
}
TRACKING = template.Tracking(click=lambda link: f"https://go.example/c/{link}", pixel="https://go.example/o/1.gif")


def make(body: str, subject: str = "Hello", **others: str) -> source.TemplateSource:
    """Make a source named `m`; other files by path with `__` for `/` and a trailing `_html` or `_txt`."""
    files = {"m/subject.txt": subject, "m/body.html": body}
    for name, text in others.items():
        stem, _, ending = name.rpartition("_")
        files[f"{stem.replace('__', '/')}.{ending}"] = text
    return source.TemplateSource("m", files)


def compile_body(
    body: str, subject: str = "Hello", hosts: tuple[str, ...] = (SHOP,), **others: str
) -> template.MailTemplate:
    """Compile a body with the common vocabulary."""
    return template.compile_mail(make(body, subject, **others), VOCABULARY, allowed_hosts=hosts)


def values(**changes: object) -> dict[str, object]:
    """Give a customer's values; keyword arguments replace whole groups."""
    offers = [{key: f"{key} {number}" for key in VOCABULARY["offers"]} for number in (1, 2, 3)]
    for number, offer in enumerate(offers):
        offer["url"] = f"https://{SHOP}/p/{number}?a=1&b=2#top"
    return {
        "customer": {
            "first_name": "Rosa",
            "last_name": "L",
            "email": "r@x.example",
            "language": "en",
            "household_size": 4,
        },
        "campaign": {"name": "Week"},
        "company": {"brand": "Market", "logo": None, "logo_alt": None, "logo_width": None},
        "sender": {"name": "Market", "postal_address": "1 Lane", "email": "m@x.example"},
        "offers": offers,
        "links": {page: f"https://x.example/{page[0]}/1" for page in OWN_PAGES},
        "traits": {"diet": "vegetarian"},
        **changes,
    }


def sample(name: str) -> Mapping[str, object]:
    """Read a starter mail's example values."""
    content: Mapping[str, object] = YAML(typ="safe", pure=True).load((TEMPLATES / name / "sample.yaml").read_text())
    return content


def starter(name: str) -> template.MailTemplate:
    """Compile a starter mail."""
    return template.compile_mail(source.read(TEMPLATES, name), VOCABULARY, allowed_hosts=[SHOP])


def envelope(**changes: object) -> MailHeaders:
    """Give an envelope; keyword arguments replace fields."""
    fields: dict[str, object] = {
        "message_id": "row.1@mail.example",
        "date": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "from_name": "Greenleaf Market",
        "from_address": "hello@greenleaf.example",
        "to_name": "Rosa",
        "to_address": "rosa@example.com",
        "list_id": "offers.greenleaf.example",
        "list_name": "Offers",
        "feedback_id": "week:offers:main:greenleaf",
        "boundary_seed": "run 1 row 1",
        "unsubscribe_url": "https://x.example/u/" + "t" * 90,
        "unsubscribe_mailto": "mailto:off@x.example?subject=1",
    }
    return MailHeaders(**{**fields, **changes})  # type: ignore[arg-type]
