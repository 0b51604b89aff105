"""The verdicts of the fault programme's checker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.torture.checker import Acceptance, Row, Terms, check

ANN, BEN = "ann@mail.example", "ben@mail.example"
ROWS = [Row(ANN, "sent"), Row(BEN, "sent")]
ACCEPTED = [Acceptance(ANN, "a", "1"), Acceptance(BEN, "b", "2")]
ONCE, AGAIN = Terms(at_least_once=False, audience=2), Terms(at_least_once=True, audience=2)


@pytest.mark.parametrize("terms", [ONCE, AGAIN])
def test_what_is_sent_and_accepted_once_is_sound(terms: Terms) -> None:
    verdict = check(ROWS, ACCEPTED, terms)
    assert verdict.problems == ()
    assert (verdict.deliveries, verdict.accepted) == (2, 2)


def test_a_sent_row_without_acceptance_is_lost() -> None:
    assert check(ROWS, ACCEPTED[:1], ONCE).lost == 1


@pytest.mark.parametrize("state", ["pending", "claimed", "dotting", "deferred", "refused", "skipped"])
def test_a_row_that_did_not_end_as_sent_is_lost(state: str) -> None:
    verdict = check([ROWS[0], Row(BEN, state)], ACCEPTED[:1], ONCE)
    assert verdict.lost == 1
    assert verdict.problems


def test_an_expected_refusal_is_no_loss_and_its_absence_is_one() -> None:
    terms = replace(ONCE, endings={BEN: "refused"})
    assert check([ROWS[0], Row(BEN, "refused")], ACCEPTED[:1], terms).problems == ()
    assert check(ROWS, ACCEPTED, terms).lost == 1


def test_a_second_copy_breaks_at_most_once() -> None:
    verdict = check(ROWS, [*ACCEPTED, ACCEPTED[0]], replace(ONCE, in_doubt=5))
    assert verdict.duplicated == 1
    assert verdict.problems == ("1 sent twice",)


def test_a_second_copy_is_allowed_at_least_once_for_what_was_in_doubt() -> None:
    assert check(ROWS, [*ACCEPTED, ACCEPTED[0]], replace(AGAIN, in_doubt=1)).problems == ()
    assert check(ROWS, [*ACCEPTED, ACCEPTED[0]], AGAIN).problems


@pytest.mark.parametrize("copy", [Acceptance(ANN, "c", "1"), Acceptance(ANN, "a", "9")])
def test_a_second_copy_must_be_the_same_mail(copy: Acceptance) -> None:
    verdict = check(ROWS, [*ACCEPTED, copy], replace(AGAIN, in_doubt=1))
    assert verdict.altered == 1
    assert verdict.problems


@pytest.mark.parametrize("accepted", [ACCEPTED, ACCEPTED[:1]])
def test_in_doubt_rows_are_unconfirmed_at_most_once(accepted: list[Acceptance]) -> None:
    rows = [ROWS[0], Row(BEN, "unconfirmed")]
    assert check(rows, accepted, replace(ONCE, in_doubt=1)).problems == ()
    assert check(rows, accepted, ONCE).problems == ("1 unconfirmed where 0 could be in doubt",)
    assert check(rows, accepted, replace(AGAIN, in_doubt=1)).lost == 1


def test_an_acceptance_that_the_ledger_does_not_know_is_unexpected() -> None:
    assert check([ROWS[0], Row(BEN, "pending")], ACCEPTED, ONCE).unexpected == 1
    assert check(ROWS, [*ACCEPTED, Acceptance("eve@mail.example", "e", "3")], ONCE).unexpected == 1


def test_a_message_id_belongs_to_one_recipient() -> None:
    assert check(ROWS, [ACCEPTED[0], Acceptance(BEN, "a", "2")], ONCE).problems


def test_the_ledger_has_one_row_for_each_customer() -> None:
    assert check(ROWS[:1], ACCEPTED[:1], ONCE).problems == ("1 rows for an audience of 2",)
    assert "1 recipients have two rows" in check([*ROWS, ROWS[0]], ACCEPTED, ONCE).problems
