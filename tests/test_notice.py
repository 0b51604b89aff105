"""Checks that NOTICE names every installed package whose licence sets terms for passing it on."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
TERMS = re.compile(r"\b(?:[AL]?GPL|MPL|EPL|CDDL)\b|GNU|Mozilla Public", re.IGNORECASE)


def packages() -> list[str]:
    lines = (ROOT / "requirements/base.txt").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^([a-z0-9-]+)==", lines, re.MULTILINE)))


def licence(name: str) -> str:
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:  # for another platform
        return ""
    classified = [line for line in about.get_all("Classifier") or [] if line.startswith("License")]
    # Some put the whole text of a licence here; its name stands at the beginning.
    named = (about.get("License-Expression") or about.get("License") or "")[:80]
    return "; ".join([named, *classified])


@pytest.mark.parametrize("name", packages())
def test_a_package_with_terms_of_its_own_is_named(name: str) -> None:
    assert not TERMS.search(licence(name)) or re.search(rf"\b{re.escape(name)}\b", NOTICE)
