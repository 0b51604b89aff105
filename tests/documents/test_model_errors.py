"""Checks that what a file lacks or holds too much of is told in plain words, in its place, with what to write."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from mailshot import documents
from mailshot.errors import InvalidInput
from mailshot.facts import catalogue
from mailshot.ingest.mapping import MappingFile
from mailshot.profile import topics
from mailshot.profile.preferences import PreferencesFile
from mailshot.profile.senders import SendersFile
from mailshot.rulebook.campaign import CampaignDefinition as Campaign
from mailshot.rulebook.company import Company

HEAD = "campaign: a\ntopic: t\nsender: s\naudience: b\n"
WHOLE = HEAD + "content: [{name: a, template: b}]\n"
GREEN = "offers: {m: {products: {department: A}, "
SENDER = "a: {name: x, address: a@example.com, postal_address: 1 Main Street, "
# The kind, the text, the place, the message and the beginning of the remedy.
WRONG: list[tuple[type[BaseModel], str, int, int, str, str]] = [
    (Campaign, "", 1, 1, "the file is empty", "Write a value"),
    (Campaign, "- a", 1, 1, "the file must contain names with values, not a list", "Valid names: campaign, "),
    (Campaign, "audience:x", 1, 1, "the file must contain names with values", "Valid names: campaign, "),
    (topics.TopicsFile, "- a", 1, 1, "the file must contain names with values, not a list", "Write lines such as"),
    (Campaign, HEAD, 1, 1, "'content' is missing", "Add 'content: …'."),
    (Campaign, HEAD + "content:", 5, 9, "'content' is empty", "Write a value, or remove the line."),
    (Campaign, HEAD + "content: x", 5, 10, "'content' must be a list, not 'x'", "Start each entry with '- '."),
    (Campaign, HEAD + "content: []", 5, 10, "'content' is empty", "Name at least one."),
    (Campaign, HEAD + "content:\n- {name: a}", 6, 3, "'template' is missing in an entry of 'content'", "Add 'templ"),
    (Campaign, HEAD + "content:\n- x", 6, 3, "an entry of 'content' must contain names with values", "Valid names"),
    (Campaign, WHOLE + "contnt: x", 6, 1, "unknown word 'contnt'", "Did you mean 'content'?"),
    (Campaign, WHOLE + "description: {a: b}", 6, 14, "'description' must be one text, not names", "Put a text"),
    (Campaign, WHOLE + GREEN + "take: many}}", 6, 47, "'take' must be a whole number, not 'many'", "Write digits only"),
    (Campaign, WHOLE + GREEN + "take: 1.5}}", 6, 47, "'take' must be a whole number, not '1.5'", "Write digits only"),
    (Campaign, WHOLE + GREEN + "take: 0}}", 6, 47, "'take' must be at least 1, not '0'", "Write a larger number."),
    (Campaign, WHOLE + GREEN + "take: 51}}", 6, 47, "'take' must be at most 50, not '51'", "Write a smaller number."),
    (Campaign, WHOLE + "offers: [m]", 6, 9, "'offers' must contain names with values", "Write lines such as"),
    (Campaign, WHOLE + "offers: {m: x}", 6, 13, "'m' must contain names with values", "Valid names: products"),
    (Campaign, WHOLE + "repeat: perhaps", 6, 9, "'repeat': 'perhaps' is not yes, no or 'after'", "Write yes, no, or"),
    (Campaign, WHOLE + "repeat: 300 days", 6, 9, "'repeat': '300 days' is not yes, no or 'after'", "Write 'after"),
    (Campaign, WHOLE + "repeat: after 0 days", 6, 9, "'repeat': 'after 0 days' is not yes, no or 'after'", "Write yes"),
    (Campaign, WHOLE + "repeat: after a while", 6, 9, "'repeat': 'after a while' is not yes, no or", "Write yes, no"),
    (Campaign, WHOLE + "repeat: [yes]", 6, 9, "'repeat' is not yes, no or 'after' a length of time", "Write yes, no"),
    (Campaign, WHOLE + "in_doubt: at_most_one", 6, 11, "unknown 'in_doubt' 'at_most_one'", "Did you mean 'at_most_o"),
    (Campaign, WHOLE + "in_doubt: [a]", 6, 11, "'in_doubt' must be one text, not a list", "Put a text"),
    (Campaign, WHOLE + "holdout: 200%", 6, 10, "'holdout': '200%' must be a percentage", "Write for example '5%'."),
    (Campaign, WHOLE + "holdout: {a: b}", 6, 10, "'holdout' must be a percentage", "Write for example '5%'."),
    (Campaign, WHOLE + "goal: {within: soon}", 6, 16, "'within': 'soon' is not a length of time", "Write for example"),
    (Campaign, WHOLE + "schedule: {cron: x}", 6, 18, "'cron': 'x' is not a cron expression", "Write for example '0 9"),
    (Campaign, WHOLE + "schedule: {zone: Mars}", 6, 18, "'zone': 'Mars' is not a time zone", "Write for example"),
    (Campaign, WHOLE + "schedule: {at: 2026}", 6, 16, "'at': '2026' is not a date or a moment", "Write for example"),
    (Campaign, WHOLE + "as_of: 2026-02-30", 6, 8, "'as_of' must be a date or a moment, not '2026-02-30'", "For ex"),
    (Campaign, WHOLE + "as_of: 9999-12-31", 6, 8, "'as_of': '9999-12-31' is not a date or a moment", "Write for exa"),
    (Company, "as_of: 1775500000", 1, 8, "'as_of': '1775500000' is not a date or a moment", "Write for example"),
    (Company, "brand: x\nlink_hosts: a", 2, 13, "'link_hosts' must be a list, not 'a'", "Start each entry with"),
    (topics.TopicsFile, "a: {title: x}\nB: {title: x}", 2, 1, "'B' is not a topic name", "Use lower case letters"),
    (catalogue.FactsFile, "customer:\n  a: {type: txt}", 2, 13, "unknown 'type' 'txt'", "Did you mean 'text'?"),
    (catalogue.FactsFile, "customer:\n  email: {type: text}", 2, 3, "'email' is built in", "Choose another name."),
    (PreferencesFile, "a:\n  title: x\n  values: {}", 3, 11, "'values' is empty", "Name at least one."),
    (PreferencesFile, "a: {title: x, values: {" + ", ".join(f"v{n}: x" for n in range(21)) + "}}",
     1, 23, "'values' has more than 20 entries", "Leave some out."),
    (SendersFile, SENDER + "feedback_id: ab}", 1, 82, "'feedback_id' is shorter than", "Write a"),
    (SendersFile, SENDER + f"feedback_id: {'a' * 16}}}", 1, 82, "'feedback_id' is longer than", ""),
    (SendersFile, SENDER + "reply_to: y}", 1, 79, "'reply_to': 'y' is not an e-mail address", ""),
    (MappingFile, "name: x\nimports:\n- kind: custmers\n", 3, 9, "unknown 'kind' 'custmers'", "Did you mean 'custom"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "line", "column", "message", "remedy"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_field_is_told_in_plain_words(
    kind: type[BaseModel], text: str, line: int, column: int, message: str, remedy: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        documents.parse_document(text, "f.yaml").model(kind)
    reported = [(item.line, item.column, item.message, item.remedy) for item in caught.value.problems]
    assert [
        entry
        for entry in reported
        if entry[:2] == (line, column) and message in entry[2] and entry[3].startswith(remedy)
    ], reported


def test_very_many_wrong_fields_are_counted() -> None:
    text = "customer:\n" + "".join(f"  f{n}: {{type: x}}\n" for n in range(3000))
    with pytest.raises(InvalidInput) as caught:
        documents.parse_document(text, "f.yaml").model(catalogue.FactsFile)
    *first, rest = caught.value.problems
    assert (len(first), rest.message) == (50, "and 2,950 more problems")
