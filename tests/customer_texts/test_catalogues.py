"""Checks that the catalogues are complete and in step with the texts, and that every text is marked for translation."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment
from jinja2.lexer import TOKEN_DATA

from mailshot.customer_texts.language import DOMAIN, FOLDER, LANGUAGES

ROOT = Path(__file__).parents[2]
TRANSLATED = [tag for tag in LANGUAGES if tag != "en"]
TEMPLATES = sorted([*ROOT.glob("mailshot/web/pages/*.html"), *ROOT.glob("mailshot/render/service/*")])
PLACEHOLDER = re.compile(r"%\(\w+\)s|</?\w+>|%")


def catalogue(tag: str) -> Catalog:
    with (FOLDER / tag / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=tag)


def messages(tag: str) -> Iterator[tuple[Message, tuple[str, ...], tuple[str, ...]]]:
    """Give each message with its English forms and its translations."""
    for message in catalogue(tag):
        if message.id:
            english, forms = message.id, message.string
            yield (
                message,
                (english,) if isinstance(english, str) else tuple(english),
                (forms,) if isinstance(forms, str) else tuple(forms),
            )


def extracted() -> set[object]:
    """Return the texts that are marked in templates and code; several forms as a tuple."""
    with (ROOT / ".ci/customer_texts.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    marked_texts = extract_from_dir(str(ROOT / "mailshot"), _below(methods), _below(options))
    return {message for _, _, message, _, _ in marked_texts}


def _below(mapping):  # type: ignore[no-untyped-def]
    """Make patterns of the project's root into those of the package's folder: other folders need not be searched."""
    if isinstance(mapping, dict):
        return {pattern.removeprefix("mailshot/"): value for pattern, value in mapping.items()}
    return [(pattern.removeprefix("mailshot/"), method) for pattern, method in mapping]


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_text_is_translated(tag: str) -> None:
    missing = [english for message, english, forms in messages(tag) if message.fuzzy or not all(forms)]
    assert missing == []


@pytest.mark.parametrize("tag", TRANSLATED)
def test_the_catalogue_has_exactly_the_texts_that_are_shown(tag: str) -> None:
    catalogue_texts = {english[0] if len(english) == 1 else english for _, english, _ in messages(tag)}
    assert catalogue_texts == extracted(), "run 'make texts'"


@pytest.mark.parametrize("tag", TRANSLATED)
def test_translations_have_the_same_placeholders_and_tags(tag: str) -> None:
    for _, english, forms in messages(tag):
        for number, form in enumerate(forms):
            expected = english[min(number, len(english) - 1)]
            assert sorted(PLACEHOLDER.findall(form)) == sorted(PLACEHOLDER.findall(expected)), form


@pytest.mark.parametrize("tag", TRANSLATED)
def test_the_compiled_catalogue_is_in_step(tag: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(tag))
    assert (FOLDER / tag / "LC_MESSAGES" / f"{DOMAIN}.mo").read_bytes() == compiled.getvalue(), "run 'make texts'"


def test_french_has_no_break_before_its_double_signs() -> None:
    assert [form for _, _, forms in messages("fr") for form in forms if re.search(r" [?!:;»]|« ", form)] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_text_that_is_not_marked(path: Path) -> None:
    assert unmarked(path.read_text(encoding="utf-8")) == ""


def test_a_text_that_is_not_marked_is_found() -> None:
    assert unmarked('<p title="Save">{{ _("Hello") }} you</p>') == "Save you"
    assert unmarked('<p>{{ "Saved." if saved else x }}</p>') == "Saved."
    assert unmarked("{% trans %}You{% endtrans %}<p class='a'>✓ · {{ _('Hello') if left else _('Bye') }}</p>") == ""


def unmarked(template: str) -> str:
    """Return the words of a template that a reader sees and that are not marked for translation."""
    template = re.sub(r"\{% block kind %\}.*?\{% endblock %\}", "", template)  # the class of a page
    template = re.sub(r"\{%-? *trans\b.*?\{%-? *endtrans *-?%\}", "", template, flags=re.DOTALL)
    parts = [
        text if kind == TOKEN_DATA else " ".join(_sentences(text)) if kind == "string" else ""
        for _, kind, text in Environment().lexer.tokeniter(re.sub(r"\b_\(\s*(\"[^\"]*\"|'[^']*')", "_(", template), "")
    ]
    attribute_texts = " ".join(re.findall(r"\b(?:title|alt|aria-label|placeholder)=\"([^\"]*)\"", "".join(parts)))
    text = re.sub(r"<(style|title)\b.*?</\1>", " ", "".join(parts), flags=re.DOTALL)
    visible_texts = re.findall(r"[^\W\d_]{2,}[^<>]*", f"{attribute_texts} {re.sub(r'<[^>]*>', ' ', text)}")
    return " ".join(" ".join(visible_texts).split())


def _sentences(literal: str) -> Iterator[str]:
    """Give a string of an expression when it is a text for readers: names and classes begin in lower case."""
    text = literal.strip("\"'")
    if re.match(r"[A-Z][a-z]|.* ", text) and not text.lstrip().startswith(("checked", "aria-", "<")):
        yield text
