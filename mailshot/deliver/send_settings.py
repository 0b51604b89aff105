"""The settings and helpers that sending needs besides the run itself; `bootstrap` makes them from the settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailshot.deliver.smtp import Server
from mailshot.render.compose import IdHeaders, ProfileValues, no_headers
from mailshot.render.dkim_keys import NO_KEYS, DkimKeys
from mailshot.store.engine import Connection, Store
from mailshot.store.runs import RunRecord
from mailshot.store.worker_ledger import Claimed
from mailshot.tokens import KeyRing

#: Checks claimed rows whose customers changed preferences or address since the launch against the guards again. Takes
#: the run and the rows; returns by customer the offers that are left, None for a customer who must not be mailed.
Reconsider = Callable[[Connection, RunRecord, Sequence[Claimed]], Mapping[int, list[list[int]] | None]]

#: Loads what the templates of a run say of customers besides facts: takes the run, the dotted names that the templates
#: use, and the customers.
LoadProfiles = Callable[[Connection, RunRecord, Collection[str], Sequence[int]], Mapping[int, ProfileValues]]


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What every batch of this process has in common."""

    store: Store
    #: The same database, for the statements of each round (see `Store.with_generic_plans`).
    ledger: Store
    server: Server
    keys: KeyRing
    #: Address of the customer site, without a slash at its end; tracking and unsubscribe links begin with it.
    base_url: str
    #: SMTP connections per batch.
    connections: int
    #: How long a claimed row stays with its worker without being renewed.
    lease: timedelta
    reconsider: Reconsider
    load_profiles: LoadProfiles
    #: Whether mail to the bounce domains is read, so that mails may name an address for unsubscribing.
    reads_mail: bool = False
    #: Returns the headers that make mail providers repeat a token in their webhooks.
    id_headers: IdHeaders = no_headers
    #: Address of the Redis that workers share their rate limits on; empty without one.
    redis: str = ""
    #: Sign the mails of senders that ask for it.
    dkim_keys: DkimKeys = NO_KEYS
