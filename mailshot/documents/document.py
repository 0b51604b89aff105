"""One YAML file: read from disk, bytes or text, with the place of every problem."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import PydanticCustomError

from mailshot import safe_files
from mailshot.documents import nodes, yaml_reader
from mailshot.documents.nodes import Mapping, Node, Problems, Scalar, Step
from mailshot.errors import InvalidInput, Problem

MAX_BYTES = 64 * 1024
MARK = "\ufeff"
AS_UTF_8 = "Save the file as UTF-8."
Model = TypeVar("Model", bound=BaseModel)
ErrorPath = tuple[Step, ...]
Words = tuple[str, str]
# Messages that start like this need a subject.
_OF_SOMETHING = ("is ", "must ")
_HINTED = re.compile(r"(.*); ((?:choose|keep|name|use|write) .*)", re.DOTALL)
_NAMED = re.compile(r"'([^']*)'")
_UNKNOWN_WORD = "unknown_word"
_WHOLE = ("{name} must be a whole number, not {said}", "Write digits only, for example 6.")
_NUMBER = ("{name} must be a number, not {said}", "For example 3 or 12.50.")
_TRUTH = ("{name} must be yes or no, not {said}", "Write yes or no.")
_LIST = ("{name} must be a list, not {said}", "Start each entry with '- '.")
_MOMENT = ("{name} must be a date or a moment, not {said}", "For example 2026-03-31 or 2026-03-31 09:00.")
_FAULTS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number", "decimal_parsing"), _NUMBER),
    **dict.fromkeys(("bool_parsing", "bool_type"), _TRUTH),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), _LIST),
    **dict.fromkeys(("datetime_parsing", "datetime_type", "datetime_object_invalid"), _MOMENT),
    **dict.fromkeys(("datetime_from_date_parsing", "date_parsing", "timezone_aware"), _MOMENT),
    "string_type": ("{name} must be one text, not {said}", "Put a text that begins with [ or {{ in quotes."),
    "greater_than_equal": ("{name} must be at least {ge}, not {said}", "Write a larger number."),
    "less_than_equal": ("{name} must be at most {le}, not {said}", "Write a smaller number."),
    "too_short": ("{name} is empty", "Name at least one."),
    "too_long": ("{name} has more than {max_length} entries", "Leave some out."),
    "string_too_short": ("{name} is shorter than {min_length} characters", "Write a longer text."),
    "string_too_long": ("{name} is longer than {max_length} characters", "Write a shorter text."),
}


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `name` is its name in errors."""

    name: str
    text: str
    root: Node

    def problems(self) -> Problems:
        return Problems(self.name, nodes.lines(self.text))

    def at(self, *path: Step) -> Node:
        """Return the node at `path`, or the deepest one that exists on the way."""
        return nodes.at(self.root, *path)

    def model(self, kind: type[Model], problems: Problems | None = None) -> Model:
        """Read the whole document as a pydantic model; raise InvalidInput with the place of each error."""
        try:
            return kind.model_validate(nodes.plain(self.root))
        except ValidationError as error:
            report = problems or self.problems()
            wrong = error.errors(include_url=False, include_input=False)
            report.uncounted += len(wrong[nodes.MAX_PROBLEMS_SHOWN :])
            for item in wrong[: nodes.MAX_PROBLEMS_SHOWN]:
                add_model_errors(self.root, kind, item, report)
            raise InvalidInput(report.sorted_problems()) from None


def load_document(path: Path, root: Path | None = None, within: Path | None = None) -> Document:
    """Read and parse one YAML file; errors name it relative to `root`. Raises InvalidInput.

    It must lie in the folder `within` (None: its own), wherever links in its path lead.
    """
    name = str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)
    try:
        return decode(safe_files.read_bytes(path, within, most=MAX_BYTES), name)
    except safe_files.TooLarge as error:
        raise InvalidInput([_too_large(name, error.size)]) from None
    except OSError as error:
        message, remedy = f"cannot be read: {error.strerror}", getattr(error, "remedy", "")
        raise InvalidInput([Problem(name, 0, 0, message, remedy=remedy)]) from None


def decode(raw: bytes, name: str) -> Document:
    """Parse the bytes of a file. Raises InvalidInput."""
    if len(raw) > MAX_BYTES:
        raise InvalidInput([_too_large(name, len(raw))])
    if wide := _wide(raw):
        raise InvalidInput([Problem(name, 0, 0, f"is {wide}, not UTF-8 text", "", AS_UTF_8)])
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        place = nodes.place(raw[: error.start].decode(), len(raw))
        line = nodes.lines(raw.decode(errors="replace"))[place.line - 1]
        raise InvalidInput(
            [Problem(name, place.line, place.column, "is not UTF-8 text here", line, AS_UTF_8)]
        ) from None
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text into a Document. Raises InvalidInput with the place of the first breach."""
    text = text.removeprefix(MARK)
    if (size := len(text.encode(errors="surrogatepass"))) > MAX_BYTES:
        raise InvalidInput([_too_large(name, size)])
    problems = Problems(name, nodes.lines(text))
    root = yaml_reader.read_yaml(text, problems)
    problems.raise_if_any()
    return Document(name, text, root)


def _too_large(name: str, size: int) -> Problem:
    message = f"is {size:,} bytes; at most {MAX_BYTES:,} are allowed"
    return Problem(name, 0, 0, message, "", "Shorten it, or spread it over several files.")


def _wide(raw: bytes) -> str:
    """Return the UTF-16 or UTF-32 encoding of a text, by its byte order mark or by zeros around its first character."""
    first = raw[:4]
    if first in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or (len(first) == 4 and b"\0\0\0" in first):
        return "UTF-32"
    return "UTF-16" if first[:2] in (b"\xff\xfe", b"\xfe\xff") or (b"\0" in first[:2] and len(first) > 1) else ""


def unknown_word(kind: str, word: str, known: Collection[str]) -> PydanticCustomError:
    """Return the error to raise in a validator for a word out of few; it is shown with the nearest known one."""
    return PydanticCustomError(_UNKNOWN_WORD, "unknown word", {"kind": kind, "word": word, "known": tuple(known)})


def add_model_errors(root: Node, kind: type[BaseModel], item: Any, problems: Problems) -> None:
    """Add one error of pydantic as a problem of the document with this root."""
    path: ErrorPath = tuple(item["loc"])
    node, fault = nodes.at(root, *path), str(item["type"])
    if fault == "extra_forbidden":
        word = str(path[-1])
        problems.unknown(_key(root, path) or node, f"unknown word '{word}'", word, _words(kind, path))
    elif fault == "missing":
        above = f" in {_name(path[:-1])}" if len(path) > 1 else ""
        problems.add(node, f"'{path[-1]}' is missing{above}", f"Add '{path[-1]}: …'.")
    elif fault == _UNKNOWN_WORD:
        word = item["ctx"]["word"]
        problems.unknown(node, f"unknown {item['ctx']['kind']} '{word}' in {_name(path)}", word, item["ctx"]["known"])
    elif fault == "value_error":
        message, remedy = _own_words(str(item["msg"]).removeprefix("Value error, "), path, node)
        named = _NAMED.match(message)
        problems.add((_key(root, (*path, named[1])) if named else None) or node, message, remedy)
    elif isinstance(node, Scalar) and node.empty:
        problems.add(node, f"{_name(path)} is empty", "Write a value, or remove the line.")
    elif fault in ("model_type", "dict_type", "model_attributes_type"):
        known = _words(kind, (*path, "")) if fault != "dict_type" else []
        remedy = f"Valid names: {', '.join(known)}." if known else "Write lines such as 'name: …' below it."
        problems.add(node, f"{_name(path)} must contain names with values, not {_said(node)}", remedy)
    elif fault in ("literal_error", "enum") and isinstance(node, Scalar):
        known = _NAMED.findall(str(item["ctx"]["expected"]))
        problems.unknown(node, f"unknown {_name(path)} {_said(node)}", node.text, known)
    else:
        problems.add(node, *_fault(fault, item, path, node))


def _fault(fault: str, item: Any, path: ErrorPath, node: Node) -> Words:
    said = str(item["msg"])
    usual = ("{name} is not right: " + said[:1].lower() + said[1:].replace("{", "{{").replace("}", "}}"), "")
    message, remedy = _FAULTS.get("string_type" if fault in ("literal_error", "enum") else fault, usual)
    context = {**item.get("ctx", {}), "name": _name(path), "said": _said(node)}
    return message.format(**context), remedy.format()


def _own_words(message: str, path: ErrorPath, node: Node) -> Words:
    """Return the message of one of our validators; a remedy may follow a semicolon."""
    message, hint = match.groups() if (match := _HINTED.fullmatch(message)) else (message, "")
    if message.startswith(_OF_SOMETHING):
        message = f"{_name(path)}: {_said(node)} {message}" if isinstance(node, Scalar) else f"{_name(path)} {message}"
    return message, f"{hint[:1].upper()}{hint[1:].rstrip('.')}." if hint else ""


def _name(path: ErrorPath) -> str:
    """Return the name of a place for readers: its key, or the key of its list."""
    keys = [step for step in path if isinstance(step, str)]
    if not keys:
        return "the file" if not path else "an entry"
    return f"'{keys[-1]}'" if isinstance(path[-1], str) else f"an entry of '{keys[-1]}'"


def _said(node: Node) -> str:
    if isinstance(node, Scalar):
        return f"'{node.text}'"
    return "names with values" if isinstance(node, Mapping) else "a list"


def _key(root: Node, path: ErrorPath) -> Node | None:
    parent = nodes.at(root, *path[:-1])
    return next((key for key, _ in parent if key.text == path[-1]), None) if isinstance(parent, Mapping) else None


def _words(kind: type[BaseModel], path: ErrorPath) -> list[str]:
    """Return the valid field names at the parent of `path`."""
    if issubclass(kind, RootModel):
        # The first step is a name that the file's author chose.
        kind, path = _model_in(kind.model_fields["root"].annotation) or kind, path[1:]
    for step in path[:-1]:
        if not isinstance(step, str) or step not in kind.model_fields:
            continue
        kind = _model_in(kind.model_fields[step].annotation) or kind
    return [info.alias or name for name, info in kind.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in getattr(annotation, "__args__", ()) if (model := _model_in(part))), None)
