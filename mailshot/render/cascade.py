"""Decides which declarations of a mail's style sheets can be written into its tags, so that nothing looks different.

The sheets stay in the mail as they are. A declaration in a tag only repeats there what the sheet says, for readers that
ignore sheets. But it outranks every rule of the sheet, so rules that apply at times (@media, :hover) would lose against
it. Each such rule that should win over what is inlined gets `!important`; where that would make it win over something
else, too, the property is not inlined there.

Terms: a *fixed* declaration always applies to the element (it can be inlined), an *occasional* one at times. Of two,
the one with the greater rank wins: specificity, then order (https://www.w3.org/TR/css-cascade/#cascading).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mailshot.render.css_properties import covers, overlap
from mailshot.render.style_sheet import Declaration, Rule

Rank = tuple[tuple[int, int, int], int, int]
"""Specificity, number of the rule, number of the declaration in it."""


@dataclass(frozen=True, eq=False)
class Applied:
    """A declaration that applies to an element, or may."""

    declaration: Declaration
    rule: Rule
    rank: Rank

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def important(self) -> bool:
        return self.declaration.important

    def overlaps(self, other: Applied) -> bool:
        """Return whether both may set the same property."""
        return overlap(self.name, other.name)


@dataclass(frozen=True, eq=False)
class ElementStyle:
    """All declarations of one element, or of several for which the same rules are written."""

    fixed: tuple[Applied, ...]
    """In order of rank, important ones last."""
    occasional: tuple[Applied, ...]
    own: tuple[str, ...]
    """Properties that its `style` attribute declares."""

    @cached_property
    def normal(self) -> tuple[Applied, ...]:
        """The fixed declarations without `!important`."""
        return tuple(applied for applied in self.fixed if not applied.important)

    def must_win(self, occasional: Applied) -> bool:
        """Return whether an occasional declaration wins over a fixed one that it would lose to once inlined."""
        return not self._loses(occasional) and any(
            fixed.rank < occasional.rank
            and fixed.declaration is not occasional.declaration
            and fixed.overlaps(occasional)
            for fixed in self.normal
        )

    def must_lose(self, applied: Applied) -> bool:
        """Return whether `!important` would make a declaration win where it does not."""
        return (
            any(overlap(name, applied.name) for name in self.own)
            or any(fixed.rank > applied.rank and fixed.overlaps(applied) for fixed in self.normal)
            or any(
                other.important and other.rank < applied.rank and other.overlaps(applied)
                for other in (*self.fixed, *self.occasional)
            )
        )

    def _loses(self, occasional: Applied) -> bool:
        """Return whether a fixed declaration always wins over all of it."""
        return any(
            (fixed.important or fixed.rank > occasional.rank) and covers(fixed.name, occasional.name)
            for fixed in self.fixed
        ) or any(covers(name, occasional.name) for name in self.own)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What to do about the rules that apply at times."""

    raised: frozenset[Declaration]
    """Declarations that get `!important`."""
    blocked: frozenset[Declaration]
    """Occasional declarations that must win but cannot: what they overlap with is not inlined."""


def resolve(styles: Iterable[ElementStyle], animated: Collection[str] = ()) -> Resolution:
    """Decide for all elements of a mail together: `!important` in a rule has its effect on each.

    `animated` are properties that animations set. They get no `!important`, which would win over the animation.
    """
    styles = list(styles)
    contending = [(style, applied) for style in styles for applied in style.occasional if not applied.important]
    winners = {applied.declaration for style, applied in contending if style.must_win(applied)}
    raised = {
        applied.declaration
        for _, applied in contending
        if applied.declaration in winners
        and not applied.rule.is_locked
        and not any(overlap(name, applied.name) for name in animated)
    }
    # `!important` also changes what other selectors of the same rule match.
    candidates = [
        (style, applied)
        for style in styles
        for applied in (*style.fixed, *style.occasional)
        if applied.declaration in raised
    ]
    raised -= {applied.declaration for style, applied in candidates if style.must_lose(applied)}
    while beaten := set(_beating_others(candidates, raised)):
        raised -= beaten
    return Resolution(frozenset(raised), frozenset(winners - raised))


def _beating_others(
    candidates: Sequence[tuple[ElementStyle, Applied]], raised: set[Declaration]
) -> Iterator[Declaration]:
    """Yield raised declarations that would win over an occasional one of greater rank that is not raised."""
    for style, applied in candidates:
        if applied.declaration in raised and any(
            not other.important
            and other.declaration not in raised
            and other.rank > applied.rank
            and other.overlaps(applied)
            for other in style.occasional
        ):
            yield applied.declaration


def inlined(style: ElementStyle, resolution: Resolution) -> list[Applied]:
    """Return the declarations to write into an element's tag, in their order."""
    left = list(style.fixed)
    blocked = [
        applied for applied in style.occasional if applied.declaration in resolution.blocked and style.must_win(applied)
    ]
    while blocked:
        # What overlaps with something left out is left out, too: it would win over that.
        out = [applied for applied in left if any(applied.overlaps(other) for other in blocked)]
        left = [applied for applied in left if applied not in out]
        blocked = out
    return _without_replaced(left)


def _without_replaced(applied: Sequence[Applied]) -> list[Applied]:
    """Leave out what a later declaration of the same property replaces in every reader."""
    kept: list[Applied] = []
    sure: set[str] = set()
    for declared in reversed(applied):
        if declared.name not in sure:
            kept.append(declared)
        if declared.declaration.is_sure:
            sure.add(declared.name)
    return kept[::-1]
