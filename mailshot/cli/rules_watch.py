"""`rules watch`: counts audiences again after each save, until Ctrl-C. Errors in a file do not end it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailshot.cli import context, output, signals
from mailshot.errors import InvalidInput, MailshotError, NotFound, Problem, nearest

if TYPE_CHECKING:
    from mailshot.campaign.watch import LiveCount, SizeChange
    from mailshot.rulebook.rulebook import Rulebook


def watch(
    audience: Annotated[str | None, typer.Argument(help="An audience. Default: all.")] = None,
    as_of: context.AsOf = None,
) -> None:
    """Recount audiences whenever a rule file is saved, until Ctrl-C."""
    from mailshot.campaign import watch as campaign_watch
    from mailshot.campaign.watch import LiveCount

    with signals.stopping() as stop:
        app = context.app()
        recount = LiveCount(app.store, context.now(), time.perf_counter, as_of, audience)
        desk = _Watcher(app.settings.project, recount, stop)

        def wait(seconds: float) -> bool:
            # Not stop.wait: a signal that meets it while it holds its lock would wait for itself.
            time.sleep(seconds)
            return stop.is_set()

        for _ in campaign_watch.watch_saves(app.settings.project, wait):
            desk.look()


@dataclass(slots=True)
class _Watcher:
    """Reads, counts and prints, once per save."""

    project: Path
    recount: LiveCount
    stop: threading.Event
    begun: bool = False
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        try:
            rules, problems = context.load_valid_rules(self.project)
            problems += [problem for problem in rules.check() if problem not in problems]
        except InvalidInput as error:
            self._errors([str(problem) for problem in error.problems])
            return
        except NotFound as error:  # the folder is gone: a checkout puts it back
            self._errors([str(error)])
            return
        try:
            rules.company, rules.book  # noqa: B018  (without one of these no count means anything)
        except InvalidInput:
            self._errors([str(problem) for problem in problems])
            return
        if self.begun:
            self._later(rules, problems)
        else:
            self._first(rules, problems)

    def _first(self, rules: Rulebook, problems: list[Problem]) -> None:
        only = self.recount.only
        if only is not None and only not in rules.book.names and not problems:
            raise NotFound(f"There is no audience '{only}'.", nearest(only, rules.book.names))
        sizes = {news.name: news.after or 0 for news in self._counted(rules, problems)}
        if self.stop.is_set():
            return
        self.begun = True
        output.print_text(
            f"[bold]As of {rules.company.today(self.recount.asked, self.recount.now):%Y-%m-%d %H:%M %Z}[/bold]"
        )
        output.print_counts("", sizes, "audience")
        self._errors([str(problem) for problem in problems])
        output.print_text(f"[dim]Watching {output.printable(self.project / 'rules')}; press Ctrl-C to stop.[/dim]")

    def _later(self, rules: Rulebook, problems: list[Problem]) -> None:
        try:
            for news in self._counted(rules, problems):
                output.print_text(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {output.printable(_words(news))}")
        except MailshotError as error:  # a database that is busy: the next save tries again
            self._errors([str(error)])
            return
        self._errors([str(problem) for problem in problems])

    def _counted(self, rules: Rulebook, problems: Sequence[Problem]) -> Iterator[SizeChange]:
        """Yield changes as they come. A busy database ignores Ctrl-C, so another thread waits for the signal."""
        changes: queue.Queue[SizeChange | BaseException | None] = queue.Queue()

        def count() -> None:
            try:
                for news in self.recount.look(rules, problems):
                    changes.put(news)
                changes.put(None)
            except BaseException as error:
                changes.put(error)

        threading.Thread(target=count, daemon=True).start()
        while (news := self._next(changes)) is not None:
            yield news

    def _next(self, changes: queue.Queue[SizeChange | BaseException | None]) -> SizeChange | None:
        with output.err.status("Counting …"):
            while not self.stop.is_set():
                try:
                    news = changes.get(timeout=0.1)
                except queue.Empty:
                    continue
                if isinstance(news, BaseException):
                    raise news
                return news
        return None

    def _errors(self, errors: list[str]) -> None:
        """Print each error once, and again when it is fixed."""
        if errors == self.wrong:
            return
        for error in errors:
            output.out.print(f"{time.strftime('%H:%M:%S')} {error}", style="red", markup=False, soft_wrap=True)
        if not errors:
            output.print_text(f"[dim]{time.strftime('%H:%M:%S')}[/dim] [green]The rules are valid again.[/green]")
        self.wrong = errors


def _words(news: SizeChange) -> str:
    took = f" ({news.seconds:.1f} s)"
    if news.after is None:
        return f"{news.name}: gone, was {news.before:,}"
    if news.before is None:
        return f"{news.name}: new, {news.after:,}{took}"
    if news.before == news.after:
        return f"{news.name}: {news.after:,} as before{took}"
    return f"{news.name}: {news.before:,} -> {news.after:,} ({news.after - news.before:+,}){took}"
