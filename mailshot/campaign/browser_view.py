"""Renders the mails of a run again for a browser: for its customer, or without any customer for the public archive.

Rules and templates are those frozen with the run, so a mail looks as it was sent; the customer's facts are today's.
No HTML is stored.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from mailshot.campaign import profile_values
from mailshot.errors import InvalidInput, NotFound, Refused
from mailshot.render import compose
from mailshot.render.compose import Offers, Recipient
from mailshot.render.mailing import Mailing
from mailshot.render.problems import RenderError
from mailshot.states import MAY_HAVE_ARRIVED, RunState
from mailshot.store import ledger_queries, profiles, runs, snapshots
from mailshot.store.engine import Connection, Store
from mailshot.store.ledger_queries import DeliveryRecord
from mailshot.store.runs import RunRecord
from mailshot.tokens import KeyRing

K = TypeVar("K")
V = TypeVar("V")
#: How long after the launch customers can see their mail in the browser. Their facts of later years are not for
#: anyone to whom the mail was forwarded.
MAX_AGE = timedelta(days=90)
#: Runs whose compiled mails a process keeps, the latest used ones.
MAX_RUNS = 32
#: Runs that the archive lists.
MAX_ARCHIVED = 50
#: A public copy shows only products that so many customers were offered: no customer's choice can be read from it.
MIN_CUSTOMERS = 20
SAMPLED_MAILS = 2000


@dataclass(frozen=True, slots=True)
class ArchivedMail:
    """One entry of the public archive."""

    run_id: int
    content: str
    subject: str
    launched_at: datetime


def set_archived(store: Store, run_id: int, archived: bool) -> None:
    """Put a run into the public archive, or take it out. Raises NotFound, Refused for an imported run."""
    with store.write() as connection:
        run = runs.find_run(connection, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id}.", "See 'mailshot report'.")
        if archived and run.state is RunState.past:
            raise Refused(f"Run {run_id} was imported.", "Only runs that Mailshot sent can be in the archive.")
        runs.set_archived(connection, run_id, archived)


class BrowserViews:
    """The mails of one installation for browsers."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store, self._keys = store, keys
        self._mailings: OrderedDict[str, Mailing] = OrderedDict()
        #: Subjects by content, by the digest of what is frozen; contents that cannot be rendered are left out.
        self._subjects: dict[str, dict[str, str]] = {}
        #: Public pages of runs that are over, by run and content.
        self._pages: OrderedDict[tuple[int, str], str] = OrderedDict()
        #: Compiling takes a while: requests at the same time wait for the first.
        self._lock, self._listing = threading.RLock(), threading.Lock()

    def customer_page(self, run_id: int, customer_id: int, now: datetime) -> str | None:
        """Return the HTML of a customer's mail; None when it was never sent, or too long ago. Raises RenderError."""
        with self._store.read() as connection:
            run = runs.find_run(connection, run_id)
            row = ledger_queries.delivery(connection, run_id, customer_id)
            if run is None or row is None or not _is_shown(run, row, now):
                return None
        mailing = self._mailing(run)
        with self._store.read() as connection:
            recipient = _recipient(connection, run, mailing, customer_id, row)
        if recipient is None or row.content not in mailing.mails:
            return None
        return compose.compose(mailing, recipient, self._keys, "").page()

    def public_page(self, run_id: int, content: str) -> str | None:
        """Return the HTML of an archived mail without customer data, None when it is not in the archive."""
        with self._store.read() as connection:
            run = runs.find_run(connection, run_id)
            if run is None or not run.archived:
                return None
            known = self._pages.get((run_id, content))
            if known is not None:
                return known
            offers = _common_offers(connection, run_id, content)
        mailing = self._mailing(run)
        if content not in mailing.mails:
            return None
        _, page = compose.public_copy(mailing, content, offers, run.launched_at)
        if run.state is RunState.finished:  # no mail will change which offers are common
            self._keep(self._pages, (run_id, content), page)
        return page

    def archived_mails(self) -> list[ArchivedMail]:
        """Return the entries of the public archive, newest first."""
        with self._store.read() as connection:
            latest = runs.archived(connection, MAX_ARCHIVED)
        with self._listing:
            known = self._subjects
            self._subjects = {
                run.definition: known[run.definition] if run.definition in known else self._public_subjects(run)
                for run in latest
            }
            subjects = self._subjects
        return [
            ArchivedMail(run.id, content, subject, run.launched_at)
            for run in latest
            for content, subject in subjects[run.definition].items()
        ]

    def _public_subjects(self, run: RunRecord) -> dict[str, str]:
        subjects: dict[str, str] = {}
        with suppress(InvalidInput):
            mailing = self._mailing(run)
            for content in mailing.mails:
                with suppress(RenderError):
                    subjects[content] = compose.public_copy(mailing, content, (), run.launched_at)[0]
        return subjects

    def _mailing(self, run: RunRecord) -> Mailing:
        """Return the compiled mails of a run: what is frozen under a digest never changes."""
        with self._lock:
            mailing = self._mailings.get(run.definition)
            if mailing is None:
                with self._store.read() as connection:
                    body = snapshots.body(connection, run.definition)["mailing"]
                mailing = Mailing.from_frozen(body, with_trial=False)
            self._keep(self._mailings, run.definition, mailing)
        return mailing

    def _keep(self, cache: OrderedDict[K, V], key: K, value: V) -> None:
        """Put a value at the end of a cache, and drop the one that was not used for longest."""
        with self._lock:
            cache[key] = value
            cache.move_to_end(key)
            if len(cache) > MAX_RUNS:
                cache.popitem(last=False)


def _is_shown(run: RunRecord, row: DeliveryRecord, now: datetime) -> bool:
    """Return whether a customer may see their mail. Of imported runs there is no template."""
    return run.state is not RunState.past and row.state in MAY_HAVE_ARRIVED and now - run.launched_at <= MAX_AGE


def _recipient(
    connection: Connection, run: RunRecord, mailing: Mailing, customer_id: int, row: DeliveryRecord
) -> Recipient | None:
    """Return the recipient of a mail, None when the customer has been erased meanwhile."""
    facts = profiles.facts_of(connection, [customer_id]).get(customer_id, {})
    if not facts.get("email"):
        return None
    offers = profiles.with_products(connection, row.offers)
    loaded = profile_values.load_for_run(connection, run, mailing.used_names, [customer_id])
    content, address, values = row.content or "", facts["email"], loaded.get(customer_id, {})
    return Recipient(run.id, customer_id, content, address, facts, offers, False, run.launched_at, values)


def _common_offers(connection: Connection, run_id: int, content: str) -> Offers:
    """Return the products that many mails offered, the most frequent first, and no more than one mail has."""
    rows = ledger_queries.offered_rows(connection, run_id, content, SAMPLED_MAILS)
    numbers = Counter(product for offers in rows for product, _ in offers)
    common = [(product, 0) for product, number in numbers.most_common() if number >= MIN_CUSTOMERS]
    return profiles.with_products(connection, common[: max(map(len, rows), default=0)])
