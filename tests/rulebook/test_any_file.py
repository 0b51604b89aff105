"""Checks that whatever stands in a file is read, or refused in its place and in our words, and soon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailshot import documents
from mailshot.documents import Document, plain
from mailshot.errors import InvalidInput
from mailshot.facts import catalogue
from mailshot.ingest import mapping
from mailshot.rulebook.rulebook import Rulebook
from tests.support import mutants
from tests.support.mutants import EXAMPLES, MAPPING, REAL, WHOLE

# Whatever grows faster than the file takes hundreds of times as long as an ordinary file of the largest size.
PATIENCE = 8
ORDINARY = "".join(f"key{n}: value\n" for n in range(3_800))
often = settings(
    max_examples=int(os.environ.get("MAILSHOT_TEST_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
RULES = {**{name: text for name, text in REAL.items() if name != MAPPING}, **WHOLE}
SHOP = {name: documents.parse_document(text, name) for name, text in RULES.items()}
FACTS = catalogue.read(documents.parse_document(REAL["rules/facts.yaml"], "rules/facts.yaml"))
FOLDERS = {"audience": "audiences", "campaign": "campaigns", "trait": "traits"}


@contextmanager
def soon() -> Iterator[None]:
    """Bound the time of this process alone: a busy machine is nobody's fault."""
    usual = _ordinary()
    began = time.process_time()
    yield
    assert time.process_time() - began < PATIENCE * usual


@cache
def _ordinary() -> float:
    began = time.process_time()
    documents.parse_document(ORDINARY, "f.yaml")
    return time.process_time() - began


def read(raw: bytes | str) -> Document | None:
    with soon():
        try:
            document = (
                documents.parse_document(raw, "f.yaml") if isinstance(raw, str) else documents.decode(raw, "f.yaml")
            )
        except InvalidInput as error:
            text = raw if isinstance(raw, str) else raw.decode("utf-8-sig", "replace")
            assert error.problems  # noqa: PT017
            assert list(mutants.untrue(error.problems, {"f.yaml": text})) == []  # noqa: PT017
            return None
    plain(document.root)
    return document


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@often
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    read(raw)


@given(st.sampled_from([*RULES.values(), *EXAMPLES]).flatmap(mutants.slips), st.data())
@often
def test_any_slip_is_read_or_refused(text: str, data: st.DataObject) -> None:
    read(text)
    raw = text.encode(data.draw(st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-8-sig"])), "replace")
    at = data.draw(st.integers(0, len(raw)))
    read(raw[:at] + data.draw(st.binary(max_size=3)) + raw[at:])


@pytest.mark.parametrize("name", RULES)
def test_the_files_are_sound_without_a_slip(name: str) -> None:
    assert [problem for problem in Rulebook(SHOP).check() if problem.file == name] == []


@given(st.sampled_from(sorted(RULES)).flatmap(lambda name: st.tuples(st.just(name), mutants.slips(RULES[name]))))
@settings(often, max_examples=3 * often.max_examples)
def test_a_slip_in_any_kind_of_file_is_told_in_its_place(slip: tuple[str, str]) -> None:
    check_places(*slip)


@given(st.sampled_from(EXAMPLES).flatmap(mutants.slips))
@often
def test_a_slip_in_what_the_docs_show_is_told_in_its_place(text: str) -> None:
    check_places(f"rules/{FOLDERS.get(text.partition(':')[0], 'audiences')}/docs.yaml", text)


def check_places(name: str, text: str) -> None:
    with soon():
        try:
            problems = Rulebook({**SHOP, name: documents.parse_document(text, name)}).check()
        except InvalidInput as error:
            problems = list(error.problems)
    assert list(mutants.untrue(problems, {**RULES, name: text})) == []


@given(mutants.slips(REAL[MAPPING]))
@often
def test_a_slip_in_a_mapping_is_told_in_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with soon():
        try:
            mapping.load_mapping(path, FACTS, ())
        except InvalidInput as error:
            content = path.read_bytes().decode("utf-8-sig", "replace")
            assert list(mutants.untrue(error.problems, {str(path): content})) == []  # noqa: PT017
