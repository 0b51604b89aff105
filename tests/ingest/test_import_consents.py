"""Checks that no withdrawal is dropped silently, however a file words it, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailshot import spreadsheet
from mailshot.errors import InvalidInput, Refused
from mailshot.feedback import withdrawals
from mailshot.feedback.withdrawals import WithdrawalRequest
from mailshot.ingest.fields import GIVEN_NO, GIVEN_YES, NO, YES
from mailshot.ingest.import_report import FileReport
from mailshot.ingest.loaders.consents import CLOCK_TOLERANCE
from mailshot.profile import address
from mailshot.profile.topics import ConsentEntry
from mailshot.store import consent, dialect, inboxes, privacy, profiles, suppression, tables
from tests.support.import_shop import KEY, Shop

INPUTS = Path(__file__).parents[1] / "inputs"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
#: When a withdrawal without a readable time is entered: no consent of the import can be later.
LATEST = NOW + CLOCK_TOLERANCE
PEOPLE = (
    "id,mail\nQ1,guest@example.com\nQ2,Guest@Example.com\nQ3,q3@example.com\nQ4,\n"
    "1,a@example.com\n2,b@example.com\n3,c@example.com\n"
)
CUSTOMERS = "kind: customers\n    file: people.csv\n    columns: {key: id, email: mail}"


@pytest.fixture
def people(shop: Shop) -> Shop:
    shop.put({"people.csv": PEOPLE, **{path.name: path.read_bytes() for path in (INPUTS / "dirty").iterdir()}})
    shop.one(CUSTOMERS)
    return shop


def consents(file: str, **columns: str) -> str:
    """Return an import of consents; what is not named comes from the column of that name, or is the same for all."""
    usual = {"customer": "id", "topic": "{value: offers}", "given": "given", "at": "at", "source": "{value: test}"}
    chosen = {name: source for name, source in {**usual, **columns}.items() if source}
    return f"kind: consents\n    file: {file}\n    columns: {{{', '.join(f'{k}: {v}' for k, v in chosen.items())}}}"


def say(shop: Shop, rows: str, header: str = "id,given,at", **options: object) -> FileReport:
    """Import consents of these rows."""
    columns = options.pop("columns", {})
    shop.put({"said.csv": f"{header}\n{rows}"})
    return shop.one(consents("said.csv", **columns), now=NOW, **options)  # type: ignore[arg-type]


def standing(shop: Shop, topic: str = "offers") -> dict[str, tuple[bool, datetime]]:
    """Return the consent that counts, by the customer's key."""
    keys = dict(shop.rows(tables.Customer, "id", "key"))
    rows = shop.rows(tables.Consent, "customer_id", "topic", "given", "at")
    return {keys[who]: (given, at) for who, about, given, at in rows if about == topic}


def withdrawn(shop: Shop) -> dict[tuple[str, str], datetime]:
    """Return the withdrawals kept for addresses."""
    return {(row[0], row[1]): row[2] for row in shop.rows(tables.AddressWithdrawal, "address_hash", "topic", "at")}


def print_of(email: str) -> str:
    return address.hash_address(KEY, email)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_topics_are_met_in_any_case_and_unknown_ones_are_refused_with_the_nearest(people: Shop) -> None:
    report = people.one(consents("unknown-topics.csv", customer="key", topic="topic"))
    assert standing(people) == {"Q3": (False, day("2017-12-01"))}
    assert (report.added, report.rejected, report.withdrawals_rejected) == (2, 1, 1)
    (fault,) = people.rejected(report)
    assert (fault["line"], fault["value"]) == ("4", "Weekly Offers")
    assert "Did you mean offers" in fault["reason"]
    assert {row[0] for row in people.rows(tables.Consent, "topic")} == {"offers"}


@pytest.mark.parametrize("word", ["offers", "OFFERS", " Offers ", "oFFers"])
def test_a_topic_in_any_case(people: Shop, word: str) -> None:
    report = say(people, f"1,no,2026-01-01,{word}\n", "id,given,at,topic", columns={"topic": "topic"})
    assert (report.added, report.rejected) == (1, 0)
    assert people.rows(tables.Consent, "topic") == [("offers",)]


@pytest.mark.parametrize("word", ["Offer", "weekly", "", "off ers", "offers;recipes", "trackin"])
def test_an_unknown_topic_is_never_kept(people: Shop, word: str) -> None:
    report = say(people, f"1,no,2026-01-01,{word}\n", "id,given,at,topic", columns={"topic": "topic"})
    assert (report.rejected, report.withdrawals_rejected) == (1, 1)
    assert people.rows(tables.ConsentLog, "topic") == []


def test_the_mapping_says_what_a_foreign_topic_stands_for(people: Shop) -> None:
    columns = {"topic": "{column: topic, values: {Weekly Offers: offers, 'Cooking ': recipes, tracking: tracking}}"}
    rows = "1,no,2026-01-01,weekly offers\n1,yes,2026-01-01,COOKING\n1,yes,2026-01-01,Tracking\n"
    assert say(people, rows, "id,given,at,topic", columns=columns).rejected == 0
    assert sorted(people.rows(tables.Consent, "topic", "given")) == [
        ("offers", False),
        ("recipes", True),
        ("tracking", True),
    ]


@pytest.mark.parametrize("topic", ["{value: ofers}", "{column: topic, values: {Weekly: ofers}}"])
def test_a_topic_of_the_mapping_must_be_one(people: Shop, topic: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        say(people, "1,no,2026-01-01,x\n", "id,given,at,topic", columns={"topic": topic})
    (problem,) = raised.value.problems
    assert problem.line == 6
    assert "no topic in rules/topics.yaml (Did you mean offers" in problem.message


@pytest.mark.parametrize("word", [*NO, *GIVEN_NO, "NO", "Unsubscribed", " Cleaned ", "OPTED OUT", "no\u00a0", "False"])
def test_words_that_withdraw(people: Shop, word: str) -> None:
    say(people, "1,yes,2025-01-01\n")
    assert say(people, f"1,{word},2026-01-01\n").rejected == 0
    assert standing(people)["1"] == (False, day("2026-01-01"))


@pytest.mark.parametrize("word", [*YES, *GIVEN_YES, "YES", "Subscribed", "Opt-In", "TRUE"])
def test_words_that_give(people: Shop, word: str) -> None:
    assert say(people, f"1,{word},2026-01-01\n").rejected == 0
    assert standing(people)["1"] == (True, day("2026-01-01"))


@pytest.mark.parametrize(
    "word", ["maybe", "", "pending", "unconfirmed", "active", "inactive", "2", "-1", "nein", "n\u043e"]
)
def test_a_word_that_is_neither_is_loud(people: Shop, word: str) -> None:
    report = say(people, f"1,yes,2025-01-01\n1,{word},2026-01-01\n2,yes,2026-01-01\n")
    assert (report.added, report.rejected, report.withdrawals_rejected) == (2, 1, 1)
    assert spreadsheet.restore(people.to_fix(report)[0]["given"]) == word


def test_words_of_other_languages(people: Shop) -> None:
    pairs = (("Angemeldet", "Abgemeldet"), ("Påmeldt", "AVMELDT"), ("Abonné", "DÉSABONNÉ"), ("Alta", "Baja"))
    for yes, no in pairs:
        assert say(people, f"1,{yes},2026-01-01\n2,{no},2026-01-01\n").rejected == 0
        assert {key: given for key, (given, _) in standing(people).items()} == {"1": True, "2": False}
    assert not set(YES + GIVEN_YES) & set(NO + GIVEN_NO)


def test_words_of_the_mapping_come_first(people: Shop) -> None:
    column_with_words = "{column: given, yes: [ja, x, '0'], no: [nein, aktiv nicht, 1]}"
    rows = "1,JA,2026-01-01\n2,nein,2026-01-01\n3,1,2026-01-01\nQ3,0,2026-01-01\nQ4,Aktiv Nicht,2026-01-01\n"
    assert say(people, rows, columns={"given": column_with_words}).rejected == 0
    assert {key: column_with_words for key, (column_with_words, _) in standing(people).items()} == {
        "1": True, "2": False, "3": False, "Q3": True, "Q4": False,
    }  # fmt: skip


def test_consent_words_of_the_field(people: Shop) -> None:
    people.put({"words.csv": (INPUTS / "other/I02-consent-words.csv").read_bytes()})
    report = people.one(consents("words.csv"))
    assert report.rejected == 0
    assert {key: given for key, (given, _) in standing(people).items()} == {"1": False, "2": True, "3": False}


def test_a_consent_from_the_future_is_refused_and_a_withdrawal_is_obeyed(people: Shop) -> None:
    report = say(people, "1,yes,2062-03-01\n2,no,2062-03-01\n3,yes,2026-11-27T12:30:00Z\nQ3,no,2026-11-27T12:30:00Z\n")
    assert (report.rejected, report.withdrawals_rejected) == (1, 0)
    assert "is after this import" in people.rejected(report)[0]["reason"]
    soon = NOW + timedelta(minutes=30)
    assert standing(people) == {"2": (False, LATEST), "3": (True, soon), "Q3": (False, soon)}
    assert people.warned(report)[1:] == ["at is after this import (is the mapping's time_zone correct?)"] * 2


@pytest.mark.parametrize("moment", ["", "soon", "2062-03-01", "2026-11-27 13:00:01"])
@pytest.mark.parametrize("rows", ["1,yes,2026-11-27 13:00\n1,no,{}\n", "1,no,{}\n1,yes,2026-11-27 13:00\n"])
def test_a_withdrawal_of_unknown_time_beats_every_consent_that_is_taken(people: Shop, rows: str, moment: str) -> None:
    assert say(people, rows.format(moment)).rejected == 0
    assert standing(people) == {"1": (False, LATEST)}


def mailed(shop: Shop, key: str) -> int:
    """Import a past campaign that a customer got, and return the number of its run."""
    shop.put({"campaigns.csv": "key,start\nold,2026-01-01\n", "got.csv": f"campaign,id\nold,{key}\n"})
    shop.load(
        "kind: campaigns\n    file: campaigns.csv\n    columns: {key: key, start: start, topic: {value: offers}}",
        "kind: recipients\n    file: got.csv\n    columns: {campaign: campaign, customer: id}",
    )
    ((run,),) = shop.rows(tables.Run, "id")
    return int(run)


@pytest.mark.parametrize("ahead", [0, 1, 50, 60])
def test_a_file_read_again_never_undoes_a_click(people: Shop, ahead: int) -> None:
    run, (who,) = (
        mailed(people, "3"),
        [number for number, key in people.rows(tables.Customer, "id", "key") if key == "3"],
    )
    file = f"3,yes,{NOW + timedelta(minutes=ahead):%Y-%m-%d %H:%M}\n"
    say(people, file)
    with people.store.write() as connection:
        withdrawals.withdraw(connection, WithdrawalRequest(run, who, NOW + timedelta(minutes=1)))
    before = people.everything()
    for hours in (0, 1, 100):
        people.put({"said.csv": f"id,given,at\n{file}"})
        again = people.one(consents("said.csv"), now=NOW + timedelta(hours=hours))
        assert (again.added, again.changed, again.unchanged) == (0, 0, 1)
        assert people.everything() == before
    assert not standing(people)["3"][0]


def test_who_leaves_again_is_not_brought_back_by_a_consent_from_between(people: Shop) -> None:
    run = mailed(people, "3")
    who = dict(people.rows(tables.Customer, "key", "id"))["3"]
    say(people, "3,no,2026-03-01\n")
    with people.store.write() as connection:
        withdrawals.withdraw(connection, WithdrawalRequest(run, who, NOW))
    say(people, "3,yes,2026-05-01\n")
    assert not standing(people)["3"][0]


def test_local_times_are_compared_as_moments(people: Shop) -> None:
    report = say(people, "1,yes,2026-11-27 23:30\n2,yes,2026-11-28 02:01\n", zone="Pacific/Auckland")
    assert report.rejected == 1
    assert set(standing(people)) == {"1"}
    assert say(people, "3,yes,2026-11-27 06:30\n", zone="America/New_York").rejected == 0


@pytest.mark.parametrize("moment", ["2026-11-20", "2010-01-01", "2062-06-01", "", "yesterday"])
def test_a_withdrawal_ends_a_consent_from_the_future_of_an_earlier_import(people: Shop, moment: str) -> None:
    ids = {key: who for who, key in people.rows(tables.Customer, "id", "key")}
    with people.store.write() as connection:
        consent.record_consent(connection, ids["1"], "offers", True, day("2062-03-01"), "old import")
    say(people, f"1,no,{moment}\n")
    assert not standing(people)["1"][0]
    assert standing(people)["1"][1] <= LATEST
    with people.store.read() as connection:
        (entry,) = consent.latest_entries(connection, ids["1"]).values()
        assert not entry.given
        past = consent.latest_entries(connection, ids["1"], before=NOW + timedelta(days=1))
    assert past == {"offers": ConsentEntry(False, standing(people)["1"][1])}


@pytest.mark.parametrize("moment", ["", "soon", "31.12.2025", "2026-02-31", "1850-01-01"])
def test_a_withdrawal_whose_time_cannot_be_read_counts_from_the_import(people: Shop, moment: str) -> None:
    say(people, "1,yes,2026-01-01\n")
    report = say(people, f"1,no,{moment}\n2,yes,{moment}\n3,yes,2026-01-01\n")
    assert (report.rejected, report.withdrawals_rejected) == (1, 0)
    assert standing(people) == {"1": (False, LATEST), "3": (True, day("2026-01-01"))}
    assert len(people.warned(report)) == 1
    assert people.warned(report)[0].endswith("the withdrawal applies from this import")


def test_a_withdrawal_without_a_source_is_obeyed(people: Shop) -> None:
    columns = {"source": "via"}
    report = say(people, "1,no,2026-01-01,\n2,yes,2026-01-01,\n", "id,given,at,via", columns=columns)
    assert (report.added, report.rejected, report.withdrawals_rejected) == (1, 1, 0)
    assert standing(people) == {"1": (False, day("2026-01-01"))}
    assert people.rows(tables.ConsentLog, "source") == [("import",)]


def test_rows_that_cannot_be_split_may_be_withdrawals(people: Shop) -> None:
    report = say(people, '1,no\n2,no,2026-01-01,x\n3,"no,2026-01-01\n1,yes,2026-01-01\n')
    assert (report.added, report.rejected, report.withdrawals_rejected) == (1, 3, 3)


def test_consents_by_address(people: Shop) -> None:
    columns = {"customer": "", "email": "Email", "topic": "Topic", "given": "Given", "at": "When"}
    report = people.one(consents("consents-by-address.csv", **columns))
    # Both customers at the address withdraw; the unknown address and 'maybe' are rejected, the latter loudly.
    assert standing(people) == {"Q1": (False, day("2018-01-01")), "Q2": (False, day("2018-01-01"))}
    assert (report.added, report.rejected, report.withdrawals_rejected) == (1, 2, 1)
    assert {(row["line"], row["column"], row["reason"].split(";")[0]) for row in people.rejected(report)} == {
        ("3", "Email", "does not belong to any customer"),
        ("4", "Given", "is neither yes nor no"),
    }
    assert withdrawn(people) == {(print_of("guest@example.com"), "offers"): day("2018-01-01")}
    again = people.one(consents("consents-by-address.csv", **columns))
    assert (again.added, again.changed, again.unchanged) == (0, 0, 1)


def by_address(shop: Shop, rows: str, **options: object) -> FileReport:
    return say(shop, rows, "mail,given,at", columns={"customer": "", "email": "mail"}, **options)


def test_a_withdrawal_of_an_unknown_address_is_kept_for_it(people: Shop) -> None:
    report = by_address(people, "New@Example.com,no,2026-02-01\nnew@example.com,no,2026-01-01\n")
    assert (report.read, report.rejected) == (2, 0)
    assert report.added + report.changed + report.unchanged + report.repeated == 2
    kept = {(print_of("new@example.com"), "offers"): day("2026-02-01")}
    assert withdrawn(people) == kept
    assert by_address(people, "new@example.com,no,2026-01-15\n").changed == 0
    assert withdrawn(people) == kept
    assert by_address(people, "NEW@example.com,no,2026-03-01\n").changed == 1
    assert withdrawn(people) == {(print_of("new@example.com"), "offers"): day("2026-03-01")}


@pytest.mark.parametrize("written", ["", "nobody", "a@b", "a b@example.com"])
def test_an_address_that_cannot_be_read_is_loud(people: Shop, written: str) -> None:
    report = by_address(people, f"{written},no,2026-01-01\nb@example.com,yes,2026-01-01\n")
    assert (report.added, report.rejected, report.withdrawals_rejected) == (1, 1, 1)
    assert withdrawn(people) == {}


def test_a_key_comes_before_an_address(people: Shop) -> None:
    columns = {"email": "mail"}
    rows = (
        "1,b@example.com,yes,2026-01-01\n,b@example.com,yes,2026-01-02\n,,no,2026-01-01\n"
        "77,c@example.com,yes,2026-01-01\n78,c@example.com,no,2026-01-03\n79,nobody,no,2026-01-01\n"
        "Q3,guest@example.com,no,2026-01-04\n"
    )
    report = say(people, rows, "id,mail,given,at", columns=columns)
    assert standing(people) == {
        "1": (True, day("2026-01-01")),
        "2": (True, day("2026-01-02")),
        "3": (False, day("2026-01-03")),
        "Q3": (False, day("2026-01-04")),
    }
    assert (report.rejected, report.withdrawals_rejected) == (3, 2)
    # A withdrawal that names an address binds everybody there, whatever key stands beside it.
    assert set(withdrawn(people)) == {(print_of(mail), "offers") for mail in ("c@example.com", "guest@example.com")}


def test_one_of_key_and_address_must_be_mapped(people: Shop) -> None:
    with pytest.raises(InvalidInput, match="consents also need 'customer' or 'email'"):
        say(people, "1,no,2026-01-01\n", columns={"customer": ""})
    people.put({"list.csv": "reason\nx\n"})
    with pytest.raises(InvalidInput, match="suppressions also need 'customer' or 'email'"):
        people.one("kind: suppressions\n    file: list.csv\n    columns: {reason: reason}")


def test_a_withdrawal_of_an_unknown_customer_is_loud(people: Shop) -> None:
    report = say(people, "77,no,2026-01-01\n78,yes,2026-01-01\n1,yes,2026-01-01\n")
    assert (report.rejected, report.withdrawals_rejected) == (2, 1)
    assert people.rejected(report)[0]["reason"] == "is not a known customer key"


SUPPRESSIONS = "kind: suppressions\n    file: {}\n    columns: {}"


def suppressed(shop: Shop) -> dict[str, str]:
    return dict(shop.rows(tables.Suppression, "address_hash", "reason"))


def test_a_bounce_list_suppresses_known_and_unknown_addresses(people: Shop) -> None:
    what = SUPPRESSIONS.format("suppressions.csv", "{email: Email, reason: Reason}")
    report = people.one(what, now=NOW)
    assert (report.added, report.rejected) == (2, 0)
    assert suppressed(people) == {
        print_of("guest@example.com"): "bounced",
        print_of("unknown-person@example.com"): "complained",
    }
    assert people.rows(tables.Suppression, "at", "source") == [(NOW, "Shop"), (NOW, "Shop")]
    before = people.everything()
    assert people.one(what).unchanged == 2
    assert people.everything() == before


def test_the_first_reason_stays_and_erased_is_never_replaced(people: Shop) -> None:
    with people.store.write() as connection:
        suppression.add_erased(connection, print_of("gone@example.com"), "customer", NOW)
    rows = "mail,why\nx@example.com,Spam Complaint\nX@example.com,hard bounce\ngone@example.com,unsubscribed\n"
    people.put({"list.csv": rows})
    report = people.one(SUPPRESSIONS.format("list.csv", "{email: mail, reason: why}"))
    assert (report.added, report.unchanged, report.repeated) == (1, 1, 1)
    assert suppressed(people) == {print_of("x@example.com"): "complained", print_of("gone@example.com"): "erased"}


def test_suppressions_by_key_with_their_own_words(people: Shop) -> None:
    long = "x" * 300
    rows = (
        f"key,mail,why,since,from\n1,,Opt-Out,2026-01-01,crm\n77,,x,,\nQ4,,x,,\n,nobody,x,,\n2,b2@example.com,{long},"
        "2062-01-01,crm\n,,x,,\n3,,,soon,\n"
    )
    people.put({"list.csv": rows})
    columns = "{customer: key, email: mail, reason: why, at: since, source: from}"
    report = people.one(SUPPRESSIONS.format("list.csv", columns), now=NOW)
    assert (report.added, report.rejected, report.withdrawals_rejected) == (3, 4, 4)
    assert {int(row["line"]): row["reason"].split(":")[0] for row in people.rejected(report) if row["line"] != "8"} == {
        3: "is not a known customer key",
        4: "this customer has no address to suppress",
        5: "is not an e-mail address",
        7: "is missing",
    }
    assert suppressed(people) == {
        print_of("a@example.com"): "unsubscribed",
        print_of("b@example.com"): "x" * 200,
        print_of("b2@example.com"): "x" * 200,
        print_of("c@example.com"): "imported",
    }
    assert set(people.rows(tables.Suppression, "at")) == {(day("2026-01-01"),), (NOW,)}


def test_an_address_of_several_customers_names_none_of_them(people: Shop) -> None:
    ids = {key: who for who, key in people.rows(tables.Customer, "id", "key")}
    with people.store.read() as connection:
        assert profiles.find_customer(connection, "Q1") == ids["Q1"]
        assert profiles.find_customer(connection, "Q3@EXAMPLE.com") == ids["Q3"]
        with pytest.raises(Refused) as raised:
            profiles.find_customer(connection, "guest@example.com")
    assert "2 customers share the address" in raised.value.message
    assert raised.value.remedy == "Name one by its key: Q1, Q2."


def test_two_accounts_at_one_address_are_told_of_at_import(people: Shop) -> None:
    people.put({"people.csv": "key,email\n"})
    report = people.one("kind: customers\n    file: same-address.csv\n    columns: {key: key, email: email}")
    assert ["customer 'Q1'" in reason for reason in people.warned(report)] == [True]
    assert people.one(consents("same-address-consents.csv", customer="key")).rejected == 0
    assert {key: given for key, (given, _) in standing(people).items()} == {"Q1": True, "Q2": False}


def test_erasure_withdraws_a_consent_from_the_future(people: Shop) -> None:
    (who,) = (number for number, key in people.rows(tables.Customer, "id", "key") if key == "1")
    with people.store.write() as connection:
        consent.record_consent(connection, who, "offers", True, day("2062-03-01"), "old import")
        privacy.erase(connection, who, b"k" * 32, "customer", NOW)
    consents_now = dialect.table(tables.Consent)
    with people.store.read() as connection:
        assert connection.scalars(consents_now.select().with_only_columns(consents_now.c.given)).all() == [False]


def test_the_export_holds_withdrawals_of_the_address(people: Shop) -> None:
    by_address(people, "a@example.com,no,2026-01-01\n")
    (who,) = (number for number, key in people.rows(tables.Customer, "id", "key") if key == "1")
    with people.store.read() as connection:
        held = {name: list(rows) for name, rows in privacy.export(connection, who)}
    assert [(row["topic"], row["source"]) for row in held["address_withdrawal"]] == [("offers", "test")]


def test_what_was_withdrawn_at_an_address_stays_when_the_account_moves_away(people: Shop) -> None:
    say(people, "1,yes,2026-01-01\nQ1,yes,2026-01-01\nQ2,yes,2026-01-01\nQ1,no,2026-03-01\n2,no,2026-03-01\n")
    people.put({"people.csv": PEOPLE.replace("Q1,guest@example.com", "Q1,else@example.com")})
    people.one(CUSTOMERS, now=NOW)
    assert withdrawn(people) == {(print_of("guest@example.com"), "offers"): NOW}
    assert people.rows(inboxes.FormerAddress, "address_hash", "until") == [(print_of("guest@example.com"), NOW)]
    assert standing(people)["Q2"][0], "it said nothing itself"
    keys = dict(people.rows(tables.Customer, "key", "id"))
    with people.store.read() as connection:
        assert not consent.binding_entries(connection, keys["Q2"])["offers"].given
        assert consent.binding_entries(connection, keys["1"])["offers"].given


def test_an_address_that_cannot_be_read_moves_nobody(people: Shop) -> None:
    say(people, "Q1,no,2026-03-01\n")
    people.put({"people.csv": PEOPLE.replace("Q1,guest@example.com", "Q1,not an address")})
    people.one(CUSTOMERS, now=NOW)
    assert withdrawn(people) == {}


@pytest.mark.parametrize("written", ["*@example.net", "%@example.net", "sales*@example.net", "*.x@example.net"])
def test_wildcards_are_refused_loudly(people: Shop, written: str) -> None:
    report = by_address(people, f"{written},no,2026-01-01\nb%c@example.com,no,2026-01-01\n")
    assert (report.rejected, report.withdrawals_rejected) == (1, 1)
    assert "list each address separately" in people.rejected(report)[0]["reason"]
    assert set(withdrawn(people)) == {(print_of("b%c@example.com"), "offers")}
    people.put({"list.csv": f"mail\n{written}\nx@example.com\n"})
    report = people.one(SUPPRESSIONS.format("list.csv", "{email: mail}"))
    assert (report.added, report.rejected, report.withdrawals_rejected, report.failed) == (1, 1, 1, True)
    assert set(suppressed(people)) == {print_of("x@example.com")}
    people.put({"people.csv": f"id,mail\n9,{written}\n"})
    assert len(people.one(CUSTOMERS).warnings) == 1
    assert dict(people.rows(tables.Customer, "key", "email"))["9"] is None


def test_a_file_read_again_changes_nothing_but_for_two_kinds_of_no(people: Shop) -> None:
    rows = "1,no,\n2,no,2026-01-01\n"
    say(people, rows)
    ids = {key: who for who, key in people.rows(tables.Customer, "id", "key")}
    later = NOW + timedelta(days=1)
    with people.store.write() as connection:
        for key in ("1", "2"):
            consent.record_consent(connection, ids[key], "offers", True, later, "preference page")
    people.put({"said.csv": f"id,given,at\n{rows}", "list.csv": "mail\nx@example.com\n"})
    people.one(consents("said.csv"), now=NOW + timedelta(days=2))
    assert standing(people) == {"1": (False, LATEST + timedelta(days=2)), "2": (True, later)}
    what = SUPPRESSIONS.format("list.csv", "{email: mail}")
    people.one(what)
    with people.store.write() as connection:
        connection.execute(dialect.table(tables.Suppression).delete())
    assert people.one(what).added == 1
