"""Owns bodies that never change, named by their digest; refuses to know what they mean."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlmodel import col, select

from mailshot.errors import NotFound
from mailshot.store import dialect
from mailshot.store.engine import Connection
from mailshot.store.tables import Frozen


def digest(body: Any) -> str:
    """Return the name a body would be kept under."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def keep(connection: Connection, kind: str, body: dict[str, Any]) -> str:
    """Keep a body, once, and return its digest."""
    name = digest(body)
    row = dialect.insert(connection, dialect.table(Frozen)).values(digest=name, kind=kind, body=body)
    connection.execute(row.on_conflict_do_nothing())
    return name


def body(connection: Connection, name: str) -> dict[str, Any]:
    """Return the body kept under `name`. Raises NotFound."""
    found = connection.execute(select(col(Frozen.body)).where(col(Frozen.digest) == name)).scalar()
    if found is None:
        raise NotFound(f"Nothing is kept under {name}.")
    return dict(found)
