"""`dkim key`: makes a key to sign mails with, and prints the DNS record of its public half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mailshot import safe_files
from mailshot.cli import context, output
from mailshot.deliverability import zone_file
from mailshot.errors import InvalidInput, Problem, Refused, Unavailable
from mailshot.profile.senders import Signing
from mailshot.render import dkim_keys
from mailshot.render.dkim_keys import KeyType


def make_key(
    domain: Annotated[str, typer.Option(help="The domain that signs, usually that of the sender's address.")],
    selector: Annotated[str, typer.Option(help="The key's name in DNS, such as m1. Each new key needs a new name.")],
    kind: Annotated[
        KeyType, typer.Option("--type", help="rsa (2048 bits), or ed25519 in addition: not all receivers know it.")
    ] = KeyType.rsa,
) -> None:
    """Make a private DKIM key, and print the DNS record to publish."""
    settings = context.project_settings()
    ((ascii_domain, selector),) = dkim_keys.identities(_checked(domain, selector))
    path = settings.dkim_folder / dkim_keys.file_name(ascii_domain, selector)
    content = dkim_keys.generate(kind)
    try:
        _make_folder(path.parent)
        safe_files.create_private(path)
        safe_files.write_private(path, content)
    except FileExistsError:
        remedy = "Choose another selector, so that mails in transit can still be verified."
        raise Refused(f"The key {path} exists already.", remedy) from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.", "See MAILSHOT_DKIM_KEYS.") from None
    key = dkim_keys.parse(content, ascii_domain, selector)
    output.print_text(f"Wrote {path}. Copy it to every machine with a worker; keep it secret.")
    output.print_text("Publish this DNS record:")
    output.print_line(zone_file.txt_record(key.dns_name, key.record))
    output.print_text("Where a form asks for the name and the text one by one, leave the quotation marks out.")
    output.print_next_step(
        f"add to the sender in rules/senders.yaml: sign: {{domain: {domain}, selector: {selector}}}, "
        "then: mailshot doctor --senders. When it finds the key, restart the workers"
    )


def _make_folder(folder: Path) -> None:
    """Create the folder of the keys, which keeps itself out of version control, unless it is there."""
    if not folder.is_dir():
        safe_files.make_private_folder(folder)
        safe_files.write_shared(folder / ".gitignore", b"*\n")


def _checked(domain: str, selector: str) -> dict[str, str]:
    """Return the entry of a sender for these. Raises InvalidInput."""
    try:
        Signing(domain=domain, selector=selector)
    except ValueError as error:
        problems = [
            Problem(f"--{item['loc'][0]}", 0, 0, str(item["msg"]).removeprefix("Value error, "))
            for item in error.errors()  # type: ignore[attr-defined]
        ]
        raise InvalidInput(problems[:1]) from None
    return {"domain": domain, "selector": selector}
