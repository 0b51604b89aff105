"""Builds the parts of a process from the settings, embedded or scale-out.

The parts that send mail or ring the doorbell are imported on first use: SMTP, Redis, templates and rules take half a
second to import, and most commands need none of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from mailshot import logs
from mailshot.errors import SettingsError
from mailshot.settings import Settings
from mailshot.store import installation
from mailshot.store.engine import Store
from mailshot.tokens import KeyRing

if TYPE_CHECKING:
    from mailshot.deliver.send_settings import SendSettings
    from mailshot.deliver.smtp import Server
    from mailshot.doorbell import Doorbell
    from mailshot.intake.mailbox_address import MailboxAddress
    from mailshot.render.dkim_keys import DkimKeys
    from mailshot.webhooks.providers import Webhooks

# Dramatiq reads it when a worker starts. A process that fetched more than one doorbell could leave another one idle.
os.environ.setdefault("dramatiq_queue_prefetch", "1")


@dataclass(frozen=True)
class App:
    """The parts of one process, each made on first use."""

    settings: Settings
    store: Store

    @cached_property
    def keys(self) -> KeyRing:
        return KeyRing.parse(self.settings.keys.get_secret_value())

    @cached_property
    def address_key(self) -> bytes:
        return address_key(self.settings)

    @cached_property
    def doorbell(self) -> Doorbell:
        from mailshot.doorbell import Doorbell, broker

        return Doorbell(broker(self.settings.redis))

    @cached_property
    def server(self) -> Server:
        from mailshot.deliver.smtp import Server

        settings = self.settings
        return Server.parse(settings.smtp.get_secret_value(), settings.starttls, settings.dot_timeout)

    @cached_property
    def dkim_keys(self) -> DkimKeys:
        """The private keys that mails are signed with, read once. Raises SettingsError."""
        from mailshot.render import dkim_keys

        return dkim_keys.read_folder(self.settings.dkim_folder)

    @cached_property
    def mailbox(self) -> MailboxAddress | None:
        """Where bounces and replies arrive; None when none is configured. Raises SettingsError."""
        from mailshot.intake.mailbox_address import MailboxAddress

        return MailboxAddress.parse(self.settings.mailbox.get_secret_value())

    @cached_property
    def webhooks(self) -> Webhooks:
        """The webhooks of mail providers that are set up. Raises SettingsError."""
        from mailshot.webhooks import providers

        return providers.parse_settings(self.settings.webhooks)

    @cached_property
    def send_settings(self) -> SendSettings:
        from mailshot.campaign.profile_values import load_for_run
        from mailshot.campaign.recheck import reconsider
        from mailshot.deliver.send_settings import SendSettings

        settings = self.settings
        return SendSettings(
            store=self.store,
            ledger=self.store.with_generic_plans(),
            server=self.server,
            keys=self.keys,
            base_url=settings.base_url,
            connections=settings.connections,
            lease=timedelta(seconds=settings.lease),
            reconsider=reconsider,
            load_profiles=load_for_run,
            reads_mail=self.mailbox is not None,
            id_headers=self.webhooks.id_headers,
            redis=settings.redis,
            dkim_keys=self.dkim_keys,
        )


def open_app(settings: Settings) -> App:
    """Open the database and check its version and keys. Raises SettingsError or Unavailable."""
    app = App(settings, open_store(settings))
    logs.use_key(app.address_key)
    installation.check_version(app.store)
    with app.store.write() as connection:
        installation.verify_address_key(connection, app.address_key)
    return app


def open_store(settings: Settings) -> Store:
    """Open the database without checking its version."""
    return Store.open(settings.database_url)


def address_key(settings: Settings) -> bytes:
    """Return the key of the address hashes. Raises SettingsError when it is missing or short."""
    try:
        key = bytes.fromhex(settings.address_key.get_secret_value())
    except ValueError:
        key = b""
    if len(key) < 16:
        message = "MAILSHOT_ADDRESS_KEY is missing or too short."
        raise SettingsError(
            message, "Run 'mailshot init', or set 32 or more hexadecimal digits; never change it later."
        )
    return key
