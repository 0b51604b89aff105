"""The gates that every mail must pass, in order: the one table behind plans, explanations and the check at the dot.

A customer is left out for the reason of the first gate that does not let the mail pass. The order is the one in which
a marketer would fix them: first the address, then the campaign. The holdout is last, so that held-out customers are
those who would have been mailed.

To add a gate: its reason in `states.Reason`, its clauses in `plan_gates` and `send_gates`, a row here, and its
explanation in `campaign.eligibility`. A test checks that each reason has one row and one explanation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, literal

from mailshot.states import Reason
from mailshot.store.dialect import Clause
from mailshot.store.plan_gates import PlanGates
from mailshot.store.send_gates import SendGates


@dataclass(frozen=True, slots=True)
class Gate:
    """One reason for which a customer gets no mail, and the SQL that decides it."""

    reason: Reason
    #: The clause over the candidates of a plan; None from it: the campaign does not use this gate. A plan without the
    #: clause decides the gate once all other rows are decided.
    planned: Callable[[PlanGates], Clause | None] | None = None
    #: The clause over a delivery, for what may change between the launch and the dot.
    at_dot: Callable[[SendGates], Clause | None] | None = None


GATES: tuple[Gate, ...] = (
    Gate(Reason.no_address, lambda plan: plan.no_address, lambda send: send.no_address),
    Gate(Reason.unsupported_address, lambda plan: plan.unsupported_address, lambda send: send.unsupported_address),
    Gate(Reason.suppressed, lambda plan: plan.suppressed, lambda send: send.suppressed),
    Gate(Reason.no_consent, lambda plan: plan.lacks_consent, lambda send: send.withdrawn),
    Gate(Reason.no_content, lambda plan: plan.no_content),
    # After the launch `campaign.recheck` tests guards again, for customers who changed their answers.
    Gate(Reason.guard, lambda plan: plan.guarded),
    Gate(Reason.already_received, lambda plan: plan.already_received),
    Gate(Reason.frequency_cap, lambda plan: plan.capped, lambda send: send.capped),
    Gate(Reason.asked_for_less, lambda plan: plan.asked_for_less, lambda send: send.asked_for_less),
    Gate(Reason.paused, lambda plan: plan.paused, lambda send: send.paused),
    # Decided by `campaign.offers`, for customers who pass all gates above.
    Gate(Reason.no_offers),
    # Decided by `plan_gates.one_per_inbox`, among the customers who are left.
    Gate(Reason.same_address, at_dot=lambda send: send.doubled),
    Gate(Reason.holdout, lambda plan: plan.held_out),
)


def plan_reason(candidates: PlanGates) -> ColumnElement[str]:
    """Return the reason for which a candidate of a plan gets no mail, NULL for a mail."""
    clauses = ((gate.planned(candidates), gate.reason) for gate in GATES if gate.planned)
    return case(*((clause, literal(str(reason))) for clause, reason in _used(clauses)), else_=None)


def at_dot(deliveries: SendGates) -> list[tuple[Clause, Reason]]:
    """Return the clauses over deliveries that forbid the dot, each with its reason, in order."""
    return _used((gate.at_dot(deliveries), gate.reason) for gate in GATES if gate.at_dot)


def _used(clauses: Iterable[tuple[Clause | None, Reason]]) -> list[tuple[Clause, Reason]]:
    return [(clause, reason) for clause, reason in clauses if clause is not None]
