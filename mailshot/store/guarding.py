"""Selects the customers a guard applies to; answers of one customer count for all who share the address.

One inbox reads the mail, so two accounts of one person, one of which is vegan, get no meat. Answers of others only ever
add to whom a guard binds: "I eat everything" said for one account takes no guard from another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import CompoundSelect, Select, and_, select, union, union_all

from mailshot.audience.compile import Compiler
from mailshot.audience.nodes import Condition
from mailshot.store.audiences import SCHEMA

#: The words of conditions that read what customers say of themselves.
STATING = frozenset({"preference", "trait"})
_OTHER, _ONE = SCHEMA.customer.alias("other"), SCHEMA.customer.alias("one")
_SAID = SCHEMA.preference.c
_SHARED = (
    select(_ONE.c.id.label("customer_id"), *(column for column in _SAID if column.name != "customer_id"))
    .select_from(SCHEMA.preference.join(_OTHER, _OTHER.c.id == _SAID.customer_id))
    .join(_ONE, and_(_ONE.c.address_hash == _OTHER.c.address_hash, _ONE.c.id != _OTHER.c.id))
    .where(_SAID.holds.is_(True))
)


def bound(compiled: Compiler, condition: Condition) -> Select[Any] | CompoundSelect[Any]:
    """Return the query of the ids of the customers whom a guard with this condition binds."""
    own = compiled.select(condition)
    if not STATING & set(condition.words):
        return own
    shared = _SHARED.subquery("shared")
    inbox = union_all(select(*SCHEMA.preference.c), select(*shared.c)).subquery("inbox_preference")
    together = replace(compiled, schema=replace(SCHEMA, preference=inbox))
    mates = select(_SHARED.subquery("mate").c.customer_id)
    (mate,) = mates.selected_columns
    return union(own, mates.where(mate.in_(together.select(condition))))
