"""The keys of the tests of incoming mail."""

from __future__ import annotations

from mailshot.tokens import KeyRing

KEYS = KeyRing.parse("7:" + "5a" * 32)
