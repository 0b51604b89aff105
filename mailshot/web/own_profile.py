"""What the owner's page tells customers about themselves: the facts we know and the conclusions we drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from mailshot.customer_texts.language import CustomerLanguage
from mailshot.facts import locales, time_zones
from mailshot.facts.catalogue import Fact, FactType
from mailshot.facts.comparison import Value
from mailshot.feedback import preference_controls
from mailshot.feedback.fact_corrections import FACT, editable
from mailshot.feedback.preference_controls import Controls, CurrentPreferences
from mailshot.profile.implications import decided_answer
from mailshot.store.preferences import StoredTrait
from mailshot.web.site import SiteSettings

#: Facts whose values are codes, with the function that names them in a language.
READABLE = {"country": locales.country, "language": locales.language_name}


@dataclass(frozen=True, slots=True)
class Card:
    """One conclusion as the page shows it."""

    #: The name of its control.
    control: str
    label: str
    #: The evidence, as a sentence; empty where it is not known in the customer's language.
    evidence: str
    #: How sure we are, as a sentence; `share` is the confidence in percent, 0 without a trait.
    sure: str
    #: A sentence about the customer's own answer that decides instead; empty when there is none.
    answer: str
    share: int = 0


@dataclass(frozen=True, slots=True)
class FactField:
    """One fact as the customer can correct it."""

    #: The name of its control.
    control: str
    label: str
    value: str
    type: FactType
    #: What can be chosen, with labels; empty where the customer writes.
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OwnProfile:
    """What we know about one customer, in their language."""

    settings: SiteSettings
    language: CustomerLanguage

    def fact_lines(self, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the label and the value of each known fact that cannot be corrected on the page."""
        zone = time_zones.find_zone(facts.get("time_zone"), self.settings.zone)
        locale_format = locales.LocaleFormat(self.language.region, zone, self.settings.language)
        for name, fact in self.settings.facts.items():
            value = fact.typed(facts.get(name), zone)
            if value is not None and value != "" and not fact.hidden and not fact.editable:
                yield self.label(fact), f"{self._readable(name, value, locale_format)} {fact.unit}".strip()

    def fact_fields(self, controls: Controls) -> list[FactField]:
        """Return the facts that the customer can correct; `controls` are those of the page."""
        return [
            self._field(fact, controls.get(FACT + name, ("",))[-1])
            for name, fact in editable(self.settings.facts).items()
        ]

    def _field(self, fact: Fact, value: str) -> FactField:
        label = f"{self.label(fact)} ({fact.unit})" if fact.unit else self.label(fact)
        options = {choice: choice for choice in (*fact.choices, *([value] if fact.choices and value else []))}
        if fact.type is FactType.boolean:
            locale_format = locales.LocaleFormat(self.language.tag)
            options = {"yes": locale_format.yes_no(True), "no": locale_format.yes_no(False)}
        return FactField(FACT + fact.name, label, value, fact.type, options)

    def label(self, fact: Fact) -> str:
        """Return what customers call a fact."""
        return self.language.shop_text(fact.label) if fact.own else self._builtin_labels().get(fact.name, fact.label)

    def cards(self, current: CurrentPreferences) -> list[Card]:
        """Return what was concluded about a customer, and what they called right or wrong earlier."""
        inferred = {(trait.name, trait.value): trait for trait in current.inferred}
        pairs = current.judged(self.settings.statements)
        return [self._card(current, pair, inferred.get(pair)) for pair in pairs]

    def _builtin_labels(self) -> dict[str, str]:
        gettext = self.language.gettext
        return {
            "key": gettext("Customer number"),
            "email": gettext("E-mail address"),
            "first_name": gettext("First name"),
            "last_name": gettext("Last name"),
            "language": gettext("Language"),
            "country": gettext("Country"),
            "time_zone": gettext("Time zone"),
            "joined_at": gettext("With us since"),
        }

    def _readable(self, name: str, value: Value, locale_format: locales.LocaleFormat) -> str:
        if isinstance(value, bool):
            return locale_format.yes_no(value)
        if isinstance(value, Decimal):
            return locale_format.number(value, 0 if value == value.to_integral_value() else 2)
        if isinstance(value, date):
            return locale_format.date(value)
        return READABLE[name](str(value), self.language.tag) if name in READABLE else str(value)

    def _card(self, current: CurrentPreferences, pair: tuple[str, str], trait: StoredTrait | None) -> Card:
        name, value = pair
        sure = self._sure(trait.confidence) if trait else self.language.gettext("You told us")
        share = round(100 * trait.confidence) if trait else 0
        evidence = self._evidence(trait.evidence) if trait else ""
        control = f"{preference_controls.JUDGE}{name}.{value}"
        return Card(control, self._conclusion(pair, trait), evidence, sure, self._answer(current, pair), share)

    def _conclusion(self, pair: tuple[str, str], trait: StoredTrait | None) -> str:
        """Return the label of a trait's value: that of the trait, or of the same answer where that is translated."""
        (name, value), question = pair, self.settings.statements.get(pair[0])
        labels = trait.evidence.get("labels") if trait else None
        label = labels.get(self.language.tag) if isinstance(labels, dict) else None
        answer = question.values.get(value) if question else None
        if label is None and trait and (answer is None or self.language.tag == locales.ENGLISH):
            label = trait.evidence.get("label")
        return str(label or (answer and self.language.shop_text(answer)) or f"{name}: {value}".replace("_", " "))

    def _sure(self, confidence: float) -> str:
        gettext = self.language.gettext
        if confidence >= 0.99:
            return gettext("We are almost certain")
        if confidence >= 0.9:
            return gettext("We are fairly sure")
        return gettext("We think so") if confidence >= 0.7 else gettext("It is only a guess")

    def _evidence(self, evidence: Mapping[str, Any]) -> str:
        """Return the evidence: the sentence that is stored in English, or in other languages one with its numbers."""
        if self.language.tag == locales.ENGLISH:
            return str(evidence.get("words", ""))
        if not {"lines", "hits", "usual"} <= evidence.keys():
            return ""
        return self.language.gettext(
            "We looked at %(lines)s purchases: %(hits)s of them are of the kind that decides this. "
            "With other customers it would be about %(usual)s.",
            **{name: evidence[name] for name in ("lines", "hits")},
            usual=round(evidence["usual"]),
        )

    def _answer(self, current: CurrentPreferences, pair: tuple[str, str]) -> str:
        """Return a sentence about the customer's own answer that decides a conclusion, empty when there is none."""
        (name, value), statements = pair, self.settings.statements
        question, gettext = statements.get(name), self.language.gettext
        answer = decided_answer(current.stated, name, statements.implications(name).closure(value))
        if question is None or answer is None or answer[1] == value:
            return ""
        holds, stated = answer
        if not current.stated[name, stated]:  # a denial, which has a card of its own
            return ""
        label = self.language.shop_text(question.values.get(stated, stated))
        if holds:
            return gettext("You told us: %(answer)s. That includes this.", answer=label)
        return gettext("You told us: %(answer)s. That is what counts.", answer=label)
