"""`db`: upgrades the database, shows its version, and removes erased data from its files."""

from __future__ import annotations

from mailshot.cli import context, output
from mailshot.errors import Busy


def upgrade() -> None:
    """Upgrade the database schema to the version that this program needs."""
    from mailshot import bootstrap
    from mailshot.store import installation

    before, after = installation.upgrade_schema(bootstrap.open_store(context.settings()))
    output.print_text(
        f"The database has version {after}" + (" already." if before == after else f" (was {before or 'empty'}).")
    )
    output.print_next_step("mailshot doctor")


def scrub() -> None:
    """Remove erased data from the database files now. Blocks writes (on PostgreSQL, to one table at a time)."""
    from mailshot.store import erasures, scrubbing

    store = context.app().store
    with output.err.status("Removing erased data from the files …"):
        done = 0
        while some := scrubbing.work(store, context.now(), whole=True):
            done += some
    with store.read() as connection:
        waiting = erasures.count_pending(connection)
    output.print_text(f"{output.count_noun(done, 'erasure')} completed, {waiting.number:,} pending.")
    if waiting.number:
        message = "Another program still reads or sends erased data."
        raise Busy(message, "Try again when it has ended, or leave it to the clock.")


def version() -> None:
    """Print the version of the database, and the version that this program needs."""
    from mailshot import bootstrap
    from mailshot.store import installation

    current = installation.database_version(bootstrap.open_store(context.settings()))
    output.print_text(
        f"The database schema is at {current or 'no version'}; this program needs {installation.required_version()}."
    )
