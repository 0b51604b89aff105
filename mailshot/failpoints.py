"""Failpoints: places in the life of a mail at which the fault programme kills a worker (tests/torture).

A worker that is started with MAILSHOT_TEST_FAILPOINT=NAME:COUNT sends itself SIGKILL when it reaches that failpoint
for the COUNT-th time. Without the variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "MAILSHOT_TEST_FAILPOINT"
NAMES = (
    "before-claim-commit",
    "after-claim-commit",
    "after-mail",
    "after-rcpt",
    "after-data",
    "after-body",
    "before-intent-commit",
    "after-intent-commit",
    "after-dot",
    "after-reply",
    "before-outcome-commit",
    "after-outcome-commit",
)

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def reach(name: str) -> None:
    """Reach a failpoint: kill this process if it is the chosen one, and the count is used up."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
