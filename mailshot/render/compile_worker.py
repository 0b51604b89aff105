"""The worker process of `compile_process`: reads jobs from stdin, runs each within limits, writes the results.

    python -m mailshot.render.compile_worker

The system ends a job that takes too long (SIGPROF), and this process with it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mailshot.errors import InvalidInput
from mailshot.render import compiler, trial_render
from mailshot.render.compile_process import HEADER, IDLE_SECONDS, MAX_MEGABYTES, MAX_SECONDS, READY
from mailshot.render.lint import Finding
from mailshot.render.problems import RenderError
from mailshot.render.source import TemplateSource
from mailshot.render.template import MailTemplate
from mailshot.render.vocabulary import GroupType, ListType

MAX_JOBS = 500
"""Jobs after which the process is replaced: libraries cache what they have parsed."""


_compiled: list[tuple[MailTemplate, Any]] = []
"""The mail compiled last, with its vocabulary. Pickling drops its source, so the trial render must run here."""


def _compile_mail(
    name: str,
    files: Mapping[str, str],
    enclosed: Mapping[str, bytes],
    words: Any,
    hosts: frozenset[str],
    language: str,
    enclosable: tuple[str, ...],
    logo: str,
) -> MailTemplate:
    """Compile a source. Raises InvalidInput."""
    _compiled.clear()
    kinds = {kind.__name__: kind for kind in (ListType, GroupType)}
    vocabulary = {group: kinds.get(kind, tuple)(fields) for group, kind, fields in words}
    source = TemplateSource(name, files, enclosed, language, enclosable, logo)
    mail = compiler.compile_source(source, vocabulary, hosts)
    _compiled.append((mail, vocabulary))
    return mail


def _run_trial() -> tuple[Finding, ...]:
    """Render the mail compiled last for made-up customers."""
    return trial_render.run_trial(*_compiled[-1]) if _compiled else ()


def _examine_looks() -> tuple[Finding, ...]:
    """Return the findings about the looks of the mail compiled last, rendered for made-up customers."""
    return trial_render.examine_looks(*_compiled.pop()) if _compiled else ()


KINDS: dict[str, Callable[..., Any]] = {
    "compile": _compile_mail,
    "trial": _run_trial,
    "looks": _examine_looks,
    "inline": compiler.inline_rendered,
}


def main() -> None:
    """Serve until stdin ends, a job exceeds the memory limit, or no job arrives."""
    given, taken = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    _limit_memory()
    taken.write(READY)
    taken.flush()
    for _ in range(MAX_JOBS):
        job = _next(given)
        if job is None:
            return
        answer, sound = _answer(job)
        taken.write(HEADER.pack(len(answer)) + answer)
        taken.flush()
        if not sound or not _time_left():
            return


def _next(given: BinaryIO) -> bytes | None:
    """Wait for a job; None at the end of the input. An idle process is ended by its alarm."""
    signal.alarm(IDLE_SECONDS)
    header = given.read(HEADER.size)
    signal.alarm(0)
    return given.read(HEADER.unpack(header)[0]) if len(header) == HEADER.size else None


def _answer(job: bytes) -> tuple[bytes, bool]:
    """Work on a job; return the answer, and whether this process can take another."""
    kind, arguments, seconds = pickle.loads(job)  # nosec B301 (from the process that started this one)
    _limit_time(seconds)
    try:
        return pickle.dumps(("done", KINDS[kind](*arguments))), True
    except InvalidInput as error:
        return pickle.dumps(("invalid", error.problems)), True
    except RenderError as error:
        return pickle.dumps(("refused", (error.reason, error.place))), True
    except (MemoryError, RecursionError):
        return pickle.dumps(("overrun", None)), False
    except Exception:
        return pickle.dumps(("failed", traceback.format_exc())), False
    finally:
        _limit_time(0)


def _limit_time(seconds: float) -> None:
    """Limit this process to N more seconds of CPU time; 0 means no limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = resource.getrlimit(resource.RLIMIT_CPU)[1]
        # The second stop, should anything hold back the timer's signal.
        limit = int(used.ru_utime + used.ru_stime + seconds) + 1 if seconds else most
        resource.setrlimit(resource.RLIMIT_CPU, (limit if most < 0 else min(limit, most), most))


def _time_left() -> bool:
    """Whether another job ends by its own limit before it meets one that the system has set us (`ulimit -t`)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used, most = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_CPU)[1]
        return most < 0 or used.ru_utime + used.ru_stime + 2 * MAX_SECONDS < most
    return True


def _limit_memory() -> None:
    """Take no more address space than a job may need. Not every system knows this limit (macOS does not keep it)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = pages * resource.getpagesize() + MAX_MEGABYTES * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))


if __name__ == "__main__":
    main()
