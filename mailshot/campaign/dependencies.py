"""What decides about a campaign's mails, part by part: its file, audience, templates, guards, topic, sender, company.

The id of a plan is computed from these parts, so that a change elsewhere does not invalidate it. The same parts say
what differs between the version of a schedule and the files as they are now. Rules count by what they mean: line
numbers, descriptions and comments change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mailshot.audience import equality, nodes
from mailshot.audience.nodes import Condition
from mailshot.campaign.snapshot import LIFECYCLE, Snapshot
from mailshot.facts.product_filters import ProductFilter
from mailshot.render import logo
from mailshot.store import snapshots

FILE = "campaign file"
GUARD, PREFERENCE, UTM = "guard", "preference", "UTM parameters"
#: Fields of a preference that are only displayed to customers.
_DISPLAYED = ("title", "help", "label")
Parts = Mapping[str, str]


def part_digests(edition: Snapshot) -> dict[str, str]:
    """Return a digest of each part by its name, such as "audience 'regulars'"; equal for equal meanings.

    A database may return the keys of a snapshot in another order, so each mapping is sorted.

    Raises InvalidInput when a template is invalid.
    """
    named = [*_own(edition), *_templates(edition), *_guards(edition)]
    for rule in _rules(edition):
        named += [(f"{kind} '{name}'", means) for (kind, name), means in equality.named(rule).items()]
        named += _preferences(edition, rule)
    # One name may have several values: a customer's 'key' and a product's.
    values: dict[str, set[str]] = {}
    for name, value in named:
        values.setdefault(name, set()).add(repr(value))
    return {name: snapshots.digest_body(sorted(several)) for name, several in values.items()}


def digest_parts(edition: Snapshot) -> str:
    """Return one digest of all parts."""
    return snapshots.digest_body(part_digests(edition))


def differences(before: Parts, after: Parts) -> list[str]:
    """Return the names of the parts that differ, parts that both sides have first; none when all are equal.

    A part that only one side has follows from another that differs, except guards and UTM parameters, which no other
    part names.
    """
    both = [name for name in after if name in before and before[name] != after[name]]
    alone = [name for name in (*after, *before) if (name in before) is not (name in after)]
    return both + [name for name in alone if name.startswith((GUARD, UTM)) or not both]


def _own(edition: Snapshot) -> Iterator[tuple[str, Any]]:
    read, rules = edition.read, edition.rulebook
    campaign, company = read.campaign, rules.company
    topic = rules.topics.get(campaign.topic)
    yield FILE, (_settings(edition), [equality.wording_key(rule) for rule in _in_file(edition)])
    yield f"audience '{read.audience.name}'", equality.wording_key(read.audience.condition)
    yield f"topic '{topic.name}'", (topic.title, topic.requires_consent)
    yield f"sender '{campaign.sender}'", sorted(edition.body["mailing"]["sender"].items())
    if edition.gates.asked:
        yield "how often customers want mail", sorted(edition.gates.asked, key=repr)
    if edition.utm:
        yield UTM, sorted(edition.utm.items())
    mailing = edition.body["mailing"]
    yield "company", (company.time_zone.key, mailing["link_hosts"], sorted(mailing["manner"].items()))


def _settings(edition: Snapshot) -> list[tuple[str, Any]]:
    """Return all settings of the campaign file that are not rules."""
    campaign = edition.read.campaign
    settings = campaign.model_dump(exclude={"content", "offers", "goal", "utm"})
    contents = [(item.name, item.template, item.offers) for item in campaign.content]
    offers = [(name, item.model_dump(exclude={"products"})) for name, item in sorted(campaign.offers.items())]
    goal = campaign.goal and (campaign.goal.event, campaign.goal.within)
    return [*sorted(settings.items()), ("content", contents), ("offers", offers), ("goal", goal)]


def _in_file(edition: Snapshot) -> list[Condition | ProductFilter]:
    read = edition.read
    named = (read.when, read.about, read.offered)
    return [*(rule for rules in named for _, rule in sorted(rules.items())), read.goal]


def _rules(edition: Snapshot) -> Sequence[Condition | ProductFilter]:
    guards = [rule for guard in _holding(edition) for rule in (guard.customers, guard.never)]
    return [edition.read.audience.condition, *_in_file(edition), *guards]


def _holding(edition: Snapshot) -> Sequence[Any]:
    """Return the guards that can stop a mail or an offer of the campaign."""
    return edition.rulebook.guards if edition.read.about or edition.read.offered else ()


def _guards(edition: Snapshot) -> Iterator[tuple[str, Any]]:
    for guard in _holding(edition):
        yield f"{GUARD} '{guard.name}'", (equality.wording_key(guard.customers), equality.wording_key(guard.never))


def _templates(edition: Snapshot) -> Iterator[tuple[str, Any]]:
    contents, mails = edition.body["mailing"]["contents"], edition.mailing().mails
    catalogue = edition.rulebook.catalogue
    known = {"customer": catalogue.customer, "offers": catalogue.product, "last_order.products": catalogue.product}
    for name, mail in mails.items():
        files = {**contents[name]["files"], **contents[name].get("enclosed", {})}
        used = mail.files.union(mail.pictures, mail.attachments)
        own = f"{contents[name]['name']}/"
        yield f"template '{own[:-1]}'", sorted((file, files[file]) for file in used if file.startswith(own))
        for file in sorted(file for file in used if not file.startswith(own)):
            yield f"template '{file}'", files[file]
        for fact in sorted(mail.facts):
            group, _, word = fact.rpartition(".")
            if word in known.get(group, {}):
                yield f"fact '{word}'", known[group][word].type
            yield from _profile_names(edition, fact)


def _profile_names(edition: Snapshot, name: str) -> Iterator[tuple[str, Any]]:
    """Give what decides the value of a name in a template that is not a fact, such as `preference.diet.vegan`."""
    rules, (group, *rest) = edition.rulebook, name.split(".")
    if name == LIFECYCLE:
        yield "lifecycle", rules.company.lifecycle.thresholds
    elif group == logo.COMPANY and rest and (value := _company_value(edition, rest[0])) is not None:
        yield group, (rest[0], value)
    elif group == "consent" and rest and rest[0] in rules.topics:
        yield f"topic '{rest[0]}'", rules.topics.get(rest[0]).requires_consent
    elif group in ("preference", "trait") and rest and (question := rules.statements.get(rest[0])):
        yield f"{PREFERENCE} '{rest[0]}'", _decisive(question)


def _company_value(edition: Snapshot, name: str) -> Any:
    """Return what a template shows of the company; None if it is not set, or a file, which is a part of its own."""
    value = edition.body["mailing"].get(logo.COMPANY, {}).get(name)
    return None if f"{logo.COMPANY}.{name}" == logo.FACT and str(value).startswith("cid:") else value


def _preferences(edition: Snapshot, rule: Condition | ProductFilter) -> Iterator[tuple[str, Any]]:
    for name in sorted(set(_asked(rule))) if isinstance(rule, Condition) else ():
        question = edition.rulebook.statements.get(name)
        if question is not None:
            yield f"{PREFERENCE} '{name}'", _decisive(question)


def _asked(condition: Condition) -> Iterator[str]:
    if isinstance(condition, nodes.HasPreference | nodes.HasTrait):
        yield condition.name
    for part in condition.children:
        yield from _asked(part)


def _decisive(value: Any) -> object:
    """Return what a preference means: its values and what they imply, without what is only displayed."""
    if is_dataclass(value):
        named = [field.name for field in fields(value) if field.name not in _DISPLAYED]
        return [(name, _decisive(getattr(value, name))) for name in named]
    if isinstance(value, Mapping):
        return [(key, None if isinstance(inner, str) else _decisive(inner)) for key, inner in sorted(value.items())]
    return value
