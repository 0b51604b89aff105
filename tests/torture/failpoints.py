"""The named points at which a worker can be told to kill itself, and whether this build of Mailshot has them.

A worker that is started with MAILSHOT_TEST_FAILPOINT=NAME:COUNT sends itself SIGKILL when it passes that point the
COUNT-th time.
A build that can do so says so by `mailshot.failpoints.NAMES`.
"""

from __future__ import annotations

import importlib
from typing import Any

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


def unsupported() -> str:
    """Why the points cannot be tried; "" when they can."""
    try:
        module: Any = importlib.import_module("mailshot.failpoints")
    except ModuleNotFoundError:
        return "not supported by this build: it has no mailshot.failpoints"
    missing = sorted(set(NAMES) - set(module.NAMES))
    return f"not supported by this build: it lacks the failpoints {', '.join(missing)}" if missing else ""
