"""Everything under rules/, read together and cross-checked.

A rulebook is built from texts by path, so a folder on disk and a frozen copy in the database are read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from mailshot import documents
from mailshot.audience.registry import Audience, AudienceRegistry
from mailshot.audience.vocabulary import Vocabulary
from mailshot.documents import Document
from mailshot.errors import InvalidInput, NotFound, Problem, nearest
from mailshot.facts import catalogue, product_filters
from mailshot.facts.catalogue import Catalogue
from mailshot.facts.product_filters import ProductFilter
from mailshot.profile import preferences, senders, topics, traits
from mailshot.profile.preferences import Statements
from mailshot.profile.senders import Sender
from mailshot.profile.topics import Topics
from mailshot.profile.traits import TraitDefinition
from mailshot.rulebook import company, guards
from mailshot.rulebook.company import Company
from mailshot.rulebook.guards import Guard
from mailshot.rulebook.resolve import Context, ResolvedCampaign

Read = TypeVar("Read")
Broken = Mapping[str, tuple[Problem, ...]]
FOLDER = "rules"
FOLDERS = ("audiences", "campaigns", "traits")


@dataclass(frozen=True)
class Rulebook:
    """All rules of a shop. Each part is read when first asked for; `check` reads them all.

    `past` marks rules as they once were, frozen at a launch or in a git revision: a word that only later became
    required may be missing in them.
    """

    files: Mapping[str, Document]
    past: bool = False
    _refused: dict[str, InvalidInput] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, project: Path) -> Rulebook:
        """Read rules/ of a project folder. Raises NotFound without one, InvalidInput for a file that is no YAML."""
        files, broken = _loaded(project)
        raise_broken(broken)
        return cls(files)

    @classmethod
    def load_valid(cls, project: Path) -> tuple[Rulebook, list[Problem]]:
        """Read rules/ without audiences and campaigns that are not valid YAML; return their problems, too.

        Raises InvalidInput for any other file: without it, the valid ones could change their meaning.
        """
        files, broken = _loaded(project)
        raise_broken({name: problems for name, problems in broken.items() if not is_independent(name)})
        return cls(files), [problem for problems in broken.values() for problem in problems]

    @classmethod
    def thaw(cls, texts: Mapping[str, str]) -> Rulebook:
        """Read a frozen copy."""
        return cls({name: documents.parse_document(text, name) for name, text in texts.items()}, past=True)

    def freeze(self) -> dict[str, str]:
        """Return all texts by path."""
        return {name: document.text for name, document in self.files.items()}

    @cached_property
    def company(self) -> Company:
        return company.read(self._file("company"))

    @cached_property
    def catalogue(self) -> Catalogue:
        return self._read("facts", catalogue.read, catalogue.builtin())

    @cached_property
    def groups(self) -> dict[str, ProductFilter]:
        return self._read("products", lambda found: product_filters.groups(found, self.catalogue.product), {})

    @cached_property
    def topics(self) -> Topics:
        return self._read("topics", topics.read, Topics({}))

    @cached_property
    def statements(self) -> Statements:
        return self._read("preferences", preferences.read, Statements({}))

    @cached_property
    def senders(self) -> dict[str, Sender]:
        return self._read("senders", senders.read, {})

    @cached_property
    def traits(self) -> tuple[TraitDefinition, ...]:
        products = product_filters.ProductNames(self.catalogue.product, self.groups)
        return tuple(traits.read(document, products) for document in self._folder("traits"))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        stated = {question.name: question.words for question in self.statements}
        return Vocabulary(
            catalogue=self.catalogue,
            topics=(*self.topics.by_name, topics.TRACKING),
            traits={trait.name: self._values(trait, stated) for trait in self.traits},
            preferences=stated,
            implications={question.name: question.implications for question in self.statements},
            groups=self.groups,
            thresholds=self.company.lifecycle.thresholds,
        )

    @cached_property
    def book(self) -> AudienceRegistry:
        return AudienceRegistry(self._folder("audiences"), self.vocabulary)

    @cached_property
    def guards(self) -> tuple[Guard, ...]:
        return guards.read(self._file("guards"), self.book)

    @cached_property
    def campaigns(self) -> dict[str, Document]:
        """Campaign files by the campaign's name. Raises InvalidInput if two files have the same name."""
        by_name: dict[str, Document] = {}
        for document in self._folder("campaigns"):
            node = document.at("campaign")
            name = node.text if isinstance(node, documents.Scalar) else document.name
            if name in by_name:
                problems = document.problems()
                problems.add(node, f"the campaign '{name}' is already in {by_name[name].name}", "Rename one.")
                problems.raise_if_any()
            by_name[name] = document
        return by_name

    def audiences(self) -> list[Audience]:
        return self.book.audiences()

    def campaign(self, name: str) -> ResolvedCampaign:
        """Return one campaign with its rules read. Raises NotFound with the nearest name, or InvalidInput."""
        if name not in self.campaigns:
            raise NotFound(f"There is no campaign '{name}'.", nearest(name, self.campaigns))
        context = Context(self.catalogue, self.topics, self.senders, self.book, self.past)
        return ResolvedCampaign.read(context, self.campaigns[name])

    def check(self) -> list[Problem]:
        """Return every problem of every file."""
        parts: list[Callable[[], Any]] = [
            lambda: self.company, lambda: self.catalogue, lambda: self.groups, lambda: self.topics,
            lambda: self.statements, lambda: self.senders, lambda: self.traits, self.audiences, lambda: self.guards,
        ]  # fmt: skip
        problems: dict[Problem, None] = {}
        try:
            parts += [partial(self.campaign, name) for name in self.campaigns]
        except InvalidInput as error:
            problems |= dict.fromkeys(error.problems)
        for part in parts:
            try:
                part()
            except InvalidInput as error:
                problems |= dict.fromkeys(error.problems)
        return list(problems)

    def _values(self, trait: TraitDefinition, stated: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | OpenValues:
        if trait.each:
            return OpenValues()
        return tuple(dict.fromkeys([never.value for never in trait.nevers] + list(stated.get(trait.name, ()))))

    def _file(self, name: str) -> Document | None:
        return self.files.get(f"rules/{name}.yaml")

    def _folder(self, name: str) -> list[Document]:
        return [document for path, document in self.files.items() if path.startswith(f"rules/{name}/")]

    def _read(self, name: str, reader: Callable[[Document], Read], default: Read) -> Read:
        # Every campaign needs these; report the problems of each file once.
        if name in self._refused:
            raise self._refused[name]
        document = self._file(name)
        try:
            return reader(document) if document else default
        except InvalidInput as error:
            self._refused[name] = error
            raise


class OpenValues(tuple[str, ...]):
    """The values of a trait with one value per value of a product field: any value is valid."""

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str)


def paths(rules: Path) -> dict[str, Path]:
    """Return the files of a rules folder, by their name in the project."""
    folders = ("", *FOLDERS)
    paths = {path.relative_to(rules).as_posix(): path for name in folders for path in (rules / name).glob("*.yaml")}
    return {f"{FOLDER}/{name}": paths[name] for name in sorted(paths) if belongs(name)}


def belongs(name: str) -> bool:
    """Return whether a file of the rules folder is read. Hidden files are locks and backups of editors."""
    folder, _, file = name.rpartition("/")
    return folder in ("", *FOLDERS) and file.endswith(".yaml") and not file.startswith(".")


def is_independent(name: str) -> bool:
    """Return whether leaving out a file keeps the meaning of the others."""
    return name.startswith((f"{FOLDER}/audiences/", f"{FOLDER}/campaigns/"))


def read_all(readers: Mapping[str, Callable[[], Document]]) -> tuple[dict[str, Document], Broken]:
    """Read every file; return the documents, and the problems of invalid files by name."""
    readable: dict[str, Document] = {}
    broken: dict[str, tuple[Problem, ...]] = {}
    for name, read in readers.items():
        try:
            readable[name] = read()
        except InvalidInput as error:
            broken[name] = error.problems
    return readable, broken


def raise_broken(broken: Broken) -> None:
    """Raise all problems together, if there are any."""
    if broken:
        raise InvalidInput([problem for problems in broken.values() for problem in problems])


def _loaded(project: Path) -> tuple[dict[str, Document], Broken]:
    folder = project / FOLDER
    if not folder.is_dir():
        raise NotFound(
            f"There is no folder {folder}.", "Run 'mailshot init' for a new project, or set MAILSHOT_PROJECT."
        )
    return read_all(
        {name: partial(documents.load_document, path, project, folder) for name, path in paths(folder).items()}
    )
