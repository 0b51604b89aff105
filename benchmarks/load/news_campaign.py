"""A campaign with a personalised mail of 6 KB: a customer's name and many links, in HTML and derived plain text."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from mailshot.cli import init

CAMPAIGN = """campaign: news
topic: offers
sender: shop
audience: everybody
content: [{name: news, template: news}]
repeat: yes
holdout: 0%
"""
LINKED = 4
_PARAGRAPH = (
    '<tr><td style="padding:8px 24px;font-family:Arial,sans-serif;font-size:15px;line-height:22px;color:#333333">'
    "Dear {{ customer.first_name or 'friend' }}, item %d of this week is fresh from the farm and waits for you. "
    "It keeps for a week in a cool place, tastes best with a little butter, and is cheap until Saturday evening."
    "%s</td></tr>"
)


def write(folder: Path) -> None:
    """Make a project whose campaign `news` is for all customers."""
    init.create_project(folder)
    (folder / "rules/audiences/everybody.yaml").write_text("audience: everybody\nwho: {share: 100%}\n")
    (folder / "rules/campaigns/news.yaml").write_text(CAMPAIGN)
    mail = folder / "templates/news"
    mail.mkdir()
    (mail / "subject.txt").write_text("News of the week for {{ customer.first_name or 'you' }}")
    (mail / "body.html").write_text(_html())


def launch(mailshot: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Plan and launch it by the commands a user runs."""
    for command in ("plan", "launch"):
        subprocess.run([mailshot, command, "news"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def _html() -> str:
    rows = "\n".join(
        _PARAGRAPH % (n, f' <a href="https://shop.example/{n}">See it</a>' if n <= LINKED else "") for n in range(1, 15)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>News</title></head><body><table width="600">'
        f'{rows}<tr><td>{{{{ sender.postal_address }}}} <a href="{{{{ links.unsubscribe }}}}">Unsubscribe</a></td></tr>'
        "</table></body></html>"
    )
