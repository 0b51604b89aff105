"""JSON bodies that never change, stored once under their digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlmodel import col, select

from mailshot.errors import NotFound
from mailshot.store import dialect
from mailshot.store.engine import Connection
from mailshot.store.tables import Frozen, Run


def digest_body(body: Any) -> str:
    """Return the digest under which a body is stored."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def store_body(connection: Connection, kind: str, body: dict[str, Any]) -> str:
    """Store a body, unless it is stored already, and return its digest."""
    name = digest_body(body)
    row = dialect.dialect_insert(connection, dialect.table(Frozen)).values(digest=name, kind=kind, body=body)
    connection.execute(row.on_conflict_do_nothing())
    return name


def body(connection: Connection, name: str) -> dict[str, Any]:
    """Return the body stored under a digest. Raises NotFound."""
    stored = connection.execute(select(col(Frozen.body)).where(col(Frozen.digest) == name)).scalar()
    if stored is None:
        raise NotFound(f"Nothing is stored under {name}.")
    return dict(stored)


def of_run(connection: Connection, run_id: int, *keys: str) -> list[Any]:
    """Return the values at `keys` of the mailing frozen with a run; None for those that are absent.

    The database takes them out of the body, which holds all rules and templates. Imported runs have no body.
    """
    frozen, run = dialect.table(Frozen), dialect.table(Run)
    values = [frozen.c.body["mailing", key] for key in keys]
    joined = frozen.join(run, run.c.definition == frozen.c.digest)
    row = connection.execute(select(*values).select_from(joined).where(run.c.id == run_id)).first()
    return list(row) if row else [None] * len(keys)
