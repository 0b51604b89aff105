"""The settings of one mail: its `settings.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mailshot.documents.document import parse_document
from mailshot.render.problems import Place, project_path


class MailSettings(BaseModel):
    """What `settings.yaml` may say. Every entry is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inline: Literal["once", "each"] = "once"
    """Inline the styles when the template is compiled, or in each customer's mail."""
    attachments: tuple[str, ...] = ()
    """Files to attach, each a path from the mail's own folder."""


def read_settings(text: str, file: str) -> MailSettings:
    """Read the text of a settings file, whose path under templates/ is `file`. Raises InvalidInput."""
    if not any(line.partition("#")[0].strip() for line in text.splitlines()):
        return MailSettings()
    return parse_document(text, project_path(file)).model(MailSettings)


def attachment_places(text: str, file: str) -> list[Place]:
    """Return the place of each attachment that a valid settings file names, in order."""
    document = parse_document(text, project_path(file))
    nodes = (document.at("attachments", number) for number, _ in enumerate(document.model(MailSettings).attachments))
    return [Place(file, node.line, node.column) for node in nodes]
