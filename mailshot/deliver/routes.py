"""Which SMTP servers a sender's mails go through: its relays (`through` in `rules/senders.yaml`), else MAILSHOT_SMTP.

A run freezes the names, weights and limits of its sender's relays. Their addresses are settings, so that an operator
can move a relay while runs are under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mailshot.deliver import rate_limit, smtp
from mailshot.deliver.outcome import Outcome
from mailshot.deliver.relays import Relay
from mailshot.deliver.send_settings import SendSettings
from mailshot.deliver.smtp import Connection, MailObject, Server
from mailshot.errors import SettingsError, Unavailable
from mailshot.render.compose import OutgoingMail
from mailshot.render.dkim_keys import NO_KEYS, DkimKeys
from mailshot.settings import EXAMPLES, RELAY

log = logging.getLogger(__name__)
#: How long a server may take to be connected to while another one could be tried: a visitor waits for the mail.
NEXT_SERVER_SECONDS = 10.0
#: Begins the subject of a test mail.
TEST_MARK = "[Test] "
#: The `through` of a frozen sender (`profile.senders.Sender.freeze`); None: MAILSHOT_SMTP.
Through = Sequence[Mapping[str, Any]] | None


def parse_relays(addresses: Mapping[str, str], starttls: str, dot_timeout: float) -> dict[str, Server]:
    """Return the servers behind the MAILSHOT_RELAY_<NAME> settings, by name. For the options see `Server.parse`."""
    return {name: Server.parse(url, starttls, dot_timeout, f"{RELAY}{name.upper()}") for name, url in addresses.items()}


def find_relays(through: Through, relays: Mapping[str, Server]) -> dict[str, Server]:
    """Return the servers of a sender's relays by name; none for a sender without relays.

    Raises SettingsError for a relay without a setting.
    """
    names = [str(entry["relay"]) for entry in through or ()]
    for name in names:
        if name not in relays:
            variable = f"{RELAY}{name.upper()}"
            message = f"{variable} is missing: a sender's mails go through the relay '{name}' (rules/senders.yaml)."
            raise SettingsError(message, f"Example: {variable}={EXAMPLES['smtp']}")
    return {name: relays[name] for name in names}


def make_relays(settings: SendSettings, sender: Mapping[str, Any], servers: Mapping[str, Server]) -> list[Relay]:
    """Return the relays of a batch, as frozen with the sender, at the `servers` that `find_relays` returned."""
    if not servers:
        return [Relay(None, settings.server, settings.connections, rate_limit.NoLimit())]
    relays = []
    for entry in sender["through"]:
        name, connections = str(entry["relay"]), entry["connections"]
        # As if the relay were a sender, and the sender its campaign.
        rate = (str(sender["address"]), f"relay:{name}", entry["rate"])
        limiter = rate_limit.limiter(*rate, settings.redis, settings.store)
        limit = int(connections or settings.connections)
        options = {"shared": connections is not None, "weight": entry["weight"], "spare": entry["spare"]}
        relays.append(Relay(name, servers[name], limit, limiter, **options))
    return relays


def servers_of(through: Through, default: Server, relays: Mapping[str, Server]) -> list[Server]:
    """Return the servers that a sender's single mails are tried on, in this order: by weight, and spares last.

    Raises SettingsError for a relay without a setting.
    """
    found = find_relays(through, relays)
    ordered = sorted(through or (), key=lambda entry: (bool(entry["spare"]), -int(entry["weight"])))
    return [found[str(entry["relay"])] for entry in ordered] or [default]


def check_any(servers: Sequence[Server]) -> None:
    """Check that a server is reachable. Raises Unavailable with the reply of the first one if none is."""
    errors = []
    for server in servers:
        try:
            smtp.check_server(server)
            return
        except Unavailable as error:
            errors.append(error)
    raise errors[0]


async def open_any(servers: Sequence[Server]) -> Connection:
    """Connect to the first server that is reachable. Raises Unavailable with the reply of the last one if none is."""
    for server in servers[:-1]:
        try:
            async with asyncio.timeout(NEXT_SERVER_SECONDS):
                return await Connection.open(server)
        except (Unavailable, TimeoutError) as error:
            log.error("%s", error if str(error) else f"The SMTP server {server} does not answer.")
    return await Connection.open(servers[-1])


def send_test_mail(servers: Sequence[Server], letter: OutgoingMail, to: str, keys: DkimKeys = NO_KEYS) -> Outcome:
    """Send a mail to the address `to` instead of its customer, marked as a test. Raises Unavailable.

    It is signed as customers get it; raises SettingsError when `keys` lacks the key.
    """
    return asyncio.run(_send(servers, letter, to, keys))


async def _send(servers: Sequence[Server], letter: OutgoingMail, to: str, keys: DkimKeys) -> Outcome:
    keys.find(letter.sign)
    connection = await open_any(servers)
    rendered = replace(letter.rendered, subject=TEST_MARK + letter.rendered.subject)
    test_mail = replace(letter, rendered=rendered, headers=replace(letter.headers, to_address=to, to_name=""))
    mail = MailObject(letter.envelope_from, to, test_mail.data(connection.eight_bit, keys))
    outcome = await connection.send_body(mail) or await connection.send_dot()
    await connection.quit()
    return outcome
