"""Writes records as a zone file has them (RFC 1035 section 5.1), ready to be pasted."""

from __future__ import annotations

#: A string of a TXT record (RFC 1035 section 3.3.14).
MAX_STRING = 255


def record(name: str, kind: str, value: str) -> str:
    """Return a line of a zone file; `name` is complete, without a dot at its end."""
    return f"{name}. IN {kind} {value}"


def txt_record(name: str, text: str) -> str:
    """Return a TXT record, its ASCII text split into strings where it is longer than one may be."""
    pieces = [text[start : start + MAX_STRING] for start in range(0, len(text), MAX_STRING)] or [""]
    escaped = (piece.replace("\\", "\\\\").replace('"', '\\"') for piece in pieces)
    return record(name, "TXT", " ".join(f'"{piece}"' for piece in escaped))
