"""Random mails look the same in Chromium before and after delivery."""

from __future__ import annotations

import itertools
import os

import pytest

from tests.browser import random_mails
from tests.browser.test_delivered_styles import SCHEMES, WIDTHS, Side, compare, compare_states, sides
from tests.render.material import compile_body, values

FIRST = int(os.environ.get("MAILSHOT_TEST_SEED", "0"))
MAILS = 25
MAX_LINES = 6
__all__ = ["sides"]


@pytest.mark.torture
@pytest.mark.parametrize("group", range(12))
def test_a_random_mail_looks_as_made_up(group: int, sides: tuple[Side, Side]) -> None:
    wrong = [line for number in range(MAILS) for line in _faults(FIRST + group * MAILS + number, sides)]
    assert not wrong, "\n".join(wrong)


def _faults(seed: int, sides: tuple[Side, Side]) -> list[str]:
    written = random_mails.make_mail(seed)
    # Without the pixel, which takes the place of the last child of the body (docs/templates.md).
    delivered = compile_body(written).render(values(), None).html
    media = itertools.product(WIDTHS, SCHEMES)
    differences = itertools.chain(compare(written, delivered, sides, media), compare_states(written, sides))
    return [f"seed {seed}: {line}" for line in itertools.islice(differences, MAX_LINES)]
