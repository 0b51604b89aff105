"""Checks that deliveries move along the arrows of `states.FROM`, along all of them, and by the ledger alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from inspect import cleandoc
from itertools import product
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import select

import mailshot
from mailshot.states import (
    FROM,
    HELD,
    MAY_HAVE_ARRIVED,
    NOT_MAILED,
    OPEN,
    REACHED,
    REPORTED_FROM,
    RUN_FROM,
    UNSENT,
    WAITING,
    DeliveryState,
    FeedbackKind,
    RunState,
)
from mailshot.store import dialect, feedback, ledger, tables, worker_ledger
from mailshot.store.engine import Connection, Store
from mailshot.store.feedback import FeedbackEvent
from mailshot.store.worker_ledger import DotRequest, Settled
from tests.support.ledger_rows import DELIVERY, GATES, LEASE, NOW, begin, customers

CUSTOMER, RUN = dialect.table(tables.Customer), dialect.table(tables.Run)
TOKEN = 7
PACKAGE = Path(mailshot.__file__).parent
#: How the package names the table in a statement.
TABLE = ("DELIVERY", "Delivery", "tables.Delivery", "sql.table(Delivery)", "sql.table(tables.Delivery)", "'delivery'")
WRITES = re.compile(r"\b(update|insert into|delete from)\s+delivery\b", re.IGNORECASE)
Arrow = tuple[DeliveryState, DeliveryState]
ARROWS: set[Arrow] = {(before, after) for after, sources in FROM.items() for before in sources}
Step = Callable[[Connection, int, int], object]


def _settled(state: DeliveryState) -> Step:
    return lambda connection, run_id, who: worker_ledger.record_outcomes(
        connection, run_id, TOKEN, [Settled(who, state)], NOW
    )


def _intent(connection: Connection, run_id: int, who: int) -> None:
    worker_ledger.commit_intent(connection, DotRequest(run_id, TOKEN, {who: 0}, GATES, NOW, NOW))


def _forbidden(connection: Connection, run_id: int, who: int) -> None:
    connection.execute(CUSTOMER.update().where(CUSTOMER.c.id == who).values(email=None))
    _skip_disallowed(connection, run_id, who, 0)


def _skip_disallowed(connection: Connection, run_id: int, who: int, revision: int = 1) -> None:
    worker_ledger.skip_disallowed(connection, DotRequest(run_id, TOKEN, {who: revision}, GATES, NOW, NOW))


def _recover(connection: Connection, _run_id: int, _who: int) -> None:
    ledger.recover(connection, NOW + 2 * LEASE)


def _recover_at_least_once(connection: Connection, run_id: int, who: int) -> None:
    connection.execute(RUN.update().where(RUN.c.id == run_id).values(at_least_once=True))
    _recover(connection, run_id, who)


def _recover_opened(connection: Connection, run_id: int, who: int) -> None:
    feedback.record_event(connection, FeedbackEvent(who, FeedbackKind.opened, "opened", NOW, run_id))
    _recover(connection, run_id, who)


def _finish_cancelled(connection: Connection, run_id: int, _who: int) -> None:
    connection.execute(RUN.update().where(RUN.c.id == run_id).values(state=RunState.cancelled))
    ledger.finish_runs(connection, NOW)


#: Each way a row can be moved, by function and circumstances.
STEPS: dict[str, Step] = {
    "claim": lambda connection, run_id, _: worker_ledger.claim(connection, run_id, TOKEN, NOW, NOW + LEASE, 1),
    "commit_intent": _intent,
    "skip_disallowed, outdated": _skip_disallowed,
    "skip_disallowed, no address": _forbidden,
    "unclaim": lambda connection, run_id, _: worker_ledger.unclaim(connection, run_id, TOKEN),
    "recover": _recover,
    "recover, at_least_once": _recover_at_least_once,
    "recover, opened": _recover_opened,
    "finish_runs": lambda connection, _run_id, _who: ledger.finish_runs(connection, NOW),
    "finish_runs, cancelled": _finish_cancelled,
    "skip_waiting": lambda connection, run_id, _: ledger.skip_waiting(connection, run_id, NOW),
    "resolve_unconfirmed, resend": lambda connection, run_id, _: ledger.resolve_unconfirmed(
        connection, run_id, True, NOW
    ),
    "resolve_unconfirmed, accept": lambda connection, run_id, _: ledger.resolve_unconfirmed(
        connection, run_id, False, NOW
    ),
    "confirm_arrival": lambda connection, run_id, who: ledger.confirm_arrival(connection, run_id, who, NOW, "seen"),
    "erase": lambda connection, _, who: ledger.erase(connection, who),
    "revise": lambda connection, _, who: ledger.revise(connection, [who]),
    "renew": lambda connection, run_id, _: worker_ledger.renew(connection, run_id, TOKEN, NOW + 2 * LEASE),
    **{f"record_outcomes, {state}": _settled(state) for state in REPORTED_FROM},
}


@pytest.fixture
def moves(store: Store) -> dict[str, set[Arrow]]:
    """Take each step with a row in each state, and return the arrows it went along."""
    (who,) = customers(store, 1)
    run_id = begin(store, [who])
    mine = DELIVERY.c.run_id == run_id
    held = {"token": TOKEN, "lease_until": NOW + LEASE, "next_attempt_at": NOW}
    arrows: dict[str, set[Arrow]] = {name: set() for name in STEPS}
    with store.write() as connection:
        for name, before in product(STEPS, DeliveryState):
            savepoint = connection.begin_nested()
            connection.execute(DELIVERY.update().where(mine).values(state=before, **held))
            STEPS[name](connection, run_id, who)
            after = DeliveryState.of(connection.scalars(select(DELIVERY.c.state).where(mine)).one())
            savepoint.rollback()
            if after is not before:
                arrows[name].add((before, after))
    return arrows


def test_the_ledger_moves_along_the_arrows_and_along_all_of_them(moves: dict[str, set[Arrow]]) -> None:
    assert {arrow for arrows in moves.values() for arrow in arrows} == ARROWS
    expected = drawn()
    assert {name: arrows for name, arrows in by_function(moves).items() if arrows} == expected


def by_function(moves: Mapping[str, set[Arrow]]) -> dict[str, set[Arrow]]:
    """Join the circumstances of each function."""
    joined: dict[str, set[Arrow]] = {}
    for name, arrows in moves.items():
        function = name.partition(",")[0]
        # `finish_runs` does what `skip_waiting` does, later.
        joined.setdefault("skip_waiting" if function == "finish_runs" else function, set()).update(arrows)
    return joined


def drawn() -> dict[str, set[Arrow]]:
    """Read the table of arrows in the ledger's docstring."""
    table: dict[str, set[Arrow]] = {}
    function = ""
    lines = cleandoc(ledger.__doc__ or "").split("`worker_ledger`:\n\n")[1].split("\n\n")[0].splitlines()
    for line in lines:
        function = line[4:25].strip() or function
        for arrow in line[25:].split("   ")[0].split("; "):
            before, after = (side.split(", ") for side in arrow.strip().split(" -> "))
            if before != ["new row"]:
                table.setdefault(function, set()).update(product(map(DeliveryState, before), map(DeliveryState, after)))
    return table


def test_the_docs_draw_the_same_diagram_as_the_ledger() -> None:
    diagram = re.search(r"^ *pending --claim.*\n(?:.+\n)+", cleandoc(ledger.__doc__ or ""), re.MULTILINE)
    assert diagram
    docs = (PACKAGE.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"```\n{dedent(diagram[0])}```" in docs


def test_the_named_sets_fit_together() -> None:
    assert {*OPEN} == {*WAITING, *HELD} == {*UNSENT, DeliveryState.dotting}
    assert {*OPEN, *REACHED, *NOT_MAILED, DeliveryState.refused} == {*DeliveryState}
    assert {*MAY_HAVE_ARRIVED} == {*REACHED, DeliveryState.dotting}
    assert all({*sources} <= {*FROM[after]} for after, sources in REPORTED_FROM.items())
    assert {*FROM} == {*DeliveryState}
    assert all(after not in sources for after, sources in (*FROM.items(), *RUN_FROM.items()))


def test_no_other_module_changes_deliveries() -> None:
    writers = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("**/*.py") if _writes_deliveries(path)}
    assert {name for name in writers if "migrations" not in name} == {
        "store/ledger.py",
        "store/worker_ledger.py",
        "store/example_rows.py",  # rows of example customers, in a database of their own
        "ingest/loaders/past_campaigns.py",  # mails of past campaigns: new rows that were sent
    }


def _writes_deliveries(path: Path) -> bool:
    """Whether a module has a statement that writes rows of the ledger, in SQLAlchemy or as text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return any(map(_is_write, calls)) or any(WRITES.search(text) for text in texts)


def _is_write(call: ast.Call) -> bool:
    verb = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if verb not in ("update", "insert", "delete", "upsert", "_add"):
        return False
    owner = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    return any(ast.unparse(node) in TABLE for node in (*owner, *call.args))
