"""Whatever a template does, whoever compiles and renders it spends little time and memory and goes on."""

from __future__ import annotations

import gc
import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from mailshot import errors
from mailshot.render import compile_process, mime, source, template, vocabulary
from mailshot.render.mailing import Mailing
from mailshot.render.template import RenderError
from tests.render import bombs
from tests.render.material import SHOP, TRACKING, VOCABULARY, envelope, starter, values

MAX_SECONDS, MAX_GROWTH = 2.5, 100_000_000
# These use up all the time that a job has: a few stand for them in every run of the tests.
LONG = {
    *("each mail: entities", "many sets", "hexint hash", "a statement without an end", "many elements", "entities"),
    *("many ifs inside", "text t|min", "text t|max", "text t|unique|list|length", "macro args", "split"),
    *("many choices", "text t|title"),
    *("many minus signs", "blanks and tags in the text", "jinja line stmts", "selectors inside one another"),
    *("each mail: deep elements", "trim blanks", "a long declaration"),
    *("many sets and ifs", "many tags", "many elifs", "many operators", "many joins", "many comparisons", "many calls"),
    *("many attributes", "many subscripts", "a long literal", "a long dict", "many unknown filters"),
    "many unknown names",
    *("settings of brackets", "rules and elements", "one rule of many selectors", "siblings of siblings"),
    *("links without an end", "links to unsubscribe without an end", "many links", "many images"),
    "comments for Outlook",
    *("attributes over lines", "each mail: looped elements", "each mail: looped rules"),
    *("many brackets", "many filters"),
    *("many lists in lists", "a tag without an end", "unclosed braces of style", "single braces", "many blocks"),
}  # fmt: skip
PAYLOADS = [pytest.param(name, marks=[pytest.mark.torture] if name in LONG else [], id=name) for name in bombs.ALL]


def make(files: Mapping[str, str]) -> source.TemplateSource:
    named = {name if name.startswith("_base") else f"m/{name}": text for name, text in files.items()}
    return source.TemplateSource("m", {"m/subject.txt": "Hello", **named})


def compiled(name: str) -> template.MailTemplate:
    return template.compile_mail(make(bombs.ALL[name]), VOCABULARY, allowed_hosts=[SHOP])


def spent() -> float:
    """Return the seconds of computing of this process and of the one that compiles for it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    for process in compile_process._processes:
        status = Path(f"/proc/{process.pid}/stat")
        if status.exists():
            fields = status.read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / 100
    return seconds


def peak(reset: bool = False) -> int:
    """Return the most memory that this process has had, in bytes; `reset` lets it begin anew."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_bomb_takes_little_time_and_memory(name: str) -> None:
    # The process that compiles is started anew after a template that ended it; that is not this bomb's doing.
    compile_process.run_job("inline", "<p>x</p>", "m")
    gc.collect()
    before, seconds = peak(reset=True), spent()
    with suppress(errors.InvalidInput, RenderError):
        rendered = compiled(name).render(values(), TRACKING)
        mime.assemble(rendered, envelope(), eight_bit=False)
    assert spent() - seconds <= MAX_SECONDS
    assert peak() - before <= MAX_GROWTH


def test_there_are_many_bombs() -> None:
    assert len(bombs.ALL) >= 115
    assert bombs.ALL.keys() >= LONG


@pytest.mark.parametrize("name", ["list q", "list q|e|length", "text t|wordcount", "loop 2", "text doubled"])
def test_what_costs_too_much_is_an_error_before_anything_is_sent(name: str) -> None:
    costly = [finding for finding in compiled(name).findings if finding.costly]
    assert costly
    assert costly[0].level == "error"
    assert costly[0].place.file == "m/body.html"
    assert "costs too much" in costly[0].message


@pytest.mark.parametrize("name", bombs.ONE)
def test_a_bomb_that_waits_for_one_customer_is_found_and_others_get_their_mail(name: str) -> None:
    found = compiled(name)
    assert any(finding.costly for finding in found.findings)
    assert found.render(values(), None).html


def test_the_one_customer_is_refused() -> None:
    found = compiled("one customer: a town")
    with pytest.raises(RenderError, match=r"templates/m/body\.html:1:\d+: the lists are nested too deeply"):
        found.render(values(customer={**values()["customer"], "email": "x"}), None)  # type: ignore[dict-item]


def test_a_template_that_ends_the_process_is_refused_and_the_next_is_not() -> None:
    with pytest.raises(errors.InvalidInput, match="takes more than"):
        compiled("the same rule")
    assert starter("weekly").facts


def test_a_frozen_bomb_of_an_older_version_does_not_end_the_worker() -> None:
    content = make(bombs.ALL["the same rule"])
    frozen = {
        "campaign": "c", "topic": "offers", "topic_title": "Offers", "sender": {}, "link_hosts": [],
        "contents": {"m": {"name": content.name, "files": dict(content.files)}},
        "vocabulary": vocabulary.template_names(["first_name", "email"], ["name"]),
    }  # fmt: skip
    for _ in range(2):
        with pytest.raises(errors.InvalidInput, match="takes more than"):
            Mailing.from_frozen(frozen)
    # What was too much once is not tried again: the process that compiles is gone, and nobody has started another.
    assert not any(process.usable for process in compile_process._processes)


def test_a_process_that_ended_before_the_job_came_is_replaced() -> None:
    compile_process.run_job("inline", "<p>x</p>", "m")
    process = compile_process._processes[0]
    os.kill(process.pid, signal.SIGALRM)  # as when no job has come for a while
    assert "x" in compile_process.run_job("inline", "<p>x</p>", "m")
    assert compile_process._processes[0] is not process


def test_a_large_mail_that_cannot_be_tried_in_time_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "TRIAL_SECONDS", 0.005)
    found = template.compile_mail(make({"body.html": "<p>{{ customer.first_name }}</p>" * 500}), VOCABULARY)
    assert any(
        finding.level == "warning" and "trial render with made-up customers did not finish" in finding.message
        for finding in found.findings
    )
    assert not any(finding.costly for finding in found.findings)
    assert found.render(values(), None).html


def test_what_was_launched_is_not_tried_again() -> None:
    content = make(bombs.ALL["one customer: a town"])
    assert not any(finding.costly for finding in template.compile_mail(content, VOCABULARY, with_trial=False).findings)
    assert any(finding.costly for finding in template.compile_mail(content, VOCABULARY).findings)


def _end_at_each_job(monkeypatch: pytest.MonkeyPatch, ends: list[int]) -> None:
    """Have the compiling process killed from outside by these signals, one for each job that it is given."""
    real = compile_process._Process.ask

    def ask(process: compile_process._Process, job: bytes) -> bytes | None:
        if ends:
            os.kill(process.pid, signal.SIGSTOP)  # so that it cannot answer before the signal comes
            os.kill(process.pid, ends.pop(0))
            os.kill(process.pid, signal.SIGCONT)
        return real(process, job)

    monkeypatch.setattr(compile_process._Process, "ask", ask)


def test_a_process_that_is_killed_over_a_job_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    _end_at_each_job(monkeypatch, [signal.SIGKILL])
    assert template.compile_mail(make({"body.html": "<p>killed once</p>"}), VOCABULARY).render(values(), None).html


def test_a_process_that_is_killed_twice_is_unavailable_and_the_mail_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    content = make({"body.html": "<p>killed twice</p>"})
    _end_at_each_job(monkeypatch, [signal.SIGKILL, signal.SIGTERM])
    with pytest.raises(errors.Unavailable, match="killed from outside"):
        template.compile_mail(content, VOCABULARY)
    assert template.compile_mail(content, VOCABULARY).render(values(), None).html


@pytest.mark.parametrize("end", [signal.SIGPROF, signal.SIGXCPU])
def test_only_the_limits_of_time_make_a_bomb(monkeypatch: pytest.MonkeyPatch, end: int) -> None:
    _end_at_each_job(monkeypatch, [end])
    with pytest.raises(compile_process.OutOfTime):
        compile_process.run_job("inline", "<p>x</p>", "m")


def test_the_process_knows_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for process in [*compile_process._processes]:
        process.close()
    monkeypatch.setenv("MAILSHOT_KEYS", "0:canary")
    compile_process.run_job("inline", "<p>x</p>", "m")
    environment = Path(f"/proc/{compile_process._processes[0].pid}/environ")
    assert not environment.exists() or b"canary" not in environment.read_bytes()


def test_a_subject_that_no_reader_shows_is_refused() -> None:
    with pytest.raises(RenderError, match="subject is longer than 2000"):
        compiled("subject of a million").render(values(), None)


def test_an_error_that_nobody_foresaw_is_a_problem_of_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(kind: str, *arguments: object) -> None:
        raise compile_process.JobFailed("Traceback: ValueError")

    monkeypatch.setattr(compile_process, "run_job", fail)
    with pytest.raises(errors.InvalidInput, match="cannot be compiled"):
        template.compile_mail(make({"body.html": "<p>never seen before</p>"}), VOCABULARY)


def test_a_process_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_process, "_processes", [])
    monkeypatch.setattr(compile_process.sys, "executable", "/bin/false")
    with pytest.raises(errors.Unavailable, match="does not start"):
        compile_process.run_job("inline", "<p>x</p>", "m")
