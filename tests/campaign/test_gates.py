"""Checks that plans, explanations and the check at the dot share one table of gates."""

from __future__ import annotations

from collections import Counter

from mailshot.campaign.eligibility import EXPLANATIONS
from mailshot.states import Reason
from mailshot.store.eligibility_gates import GATES

#: Reasons of customers who were to be mailed when their run was launched, and whom no gate stopped.
AFTER_THE_LAUNCH = {Reason.cancelled, Reason.render_failed}


def test_each_reason_that_can_leave_a_customer_out_has_one_gate() -> None:
    assert Counter(gate.reason for gate in GATES) == Counter(set(Reason) - AFTER_THE_LAUNCH)


def test_each_gate_has_an_explanation() -> None:
    assert list(EXPLANATIONS) == [gate.reason for gate in GATES]
    assert len(set(EXPLANATIONS.values())) == len(EXPLANATIONS)


def test_each_gate_is_decided_somewhere() -> None:
    later = {gate.reason for gate in GATES if gate.planned is None}
    assert later == {Reason.no_offers, Reason.same_address}, "decided once the other rows of a plan are"
