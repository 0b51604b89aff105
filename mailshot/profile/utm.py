"""UTM parameters: what a shop's own web statistics read in a link to tell which mail a visitor came from.

They are declared under `utm` in rules/company.yaml, a sender or a campaign, and merged key by key. A launch freezes the
result (`campaign.snapshot`); a redirect adds it to the link (`feedback.link_parameters`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from mailshot.documents import unknown_word
from mailshot.facts import json_schema

#: What a text may contain, each replaced by the name of the campaign, content, topic or sender in rules/.
PLACEHOLDERS = ("{campaign}", "{content}", "{sender}", "{topic}")
_BRACES = re.compile(r"\{[^{}]*\}?|\}")


def _text(text: str) -> str:
    for braces in _BRACES.findall(text):
        if braces not in PLACEHOLDERS:
            raise unknown_word("placeholder", braces, PLACEHOLDERS)
    return text


Text = Annotated[
    str,
    AfterValidator(_text),
    WithJsonSchema(
        {
            **json_schema.TEXT,
            "pattern": rf"^([^{{}}]|{'|'.join(map(re.escape, PLACEHOLDERS))})*$",
            "description": f"May contain {', '.join(PLACEHOLDERS)}; '' removes it",
        }
    ),
]


class UtmParameters(BaseModel):
    """Parameters added to tracked links to the company's `link_hosts`: `source` becomes `utm_source`, and so on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text = ""
    medium: Text = ""
    campaign: Text = ""
    term: Text = ""
    content: Text = ""


#: The keys, in the order in which they are added to a link.
KEYS = tuple(UtmParameters.model_fields)


def merged(*levels: UtmParameters) -> dict[str, str]:
    """Return the texts by key; a later level takes precedence, and removes a key with an empty text."""
    texts: dict[str, str] = {}
    for level in levels:
        texts |= level.model_dump(exclude_unset=True)
    return {key: texts[key] for key in KEYS if texts.get(key)}


def filled(texts: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the texts with each placeholder replaced; `names` has a name for each, without braces."""
    return {key: _BRACES.sub(lambda match: names[match[0][1:-1]], text) for key, text in texts.items()}
