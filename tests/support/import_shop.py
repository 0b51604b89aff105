"""A small shop in a folder, to import from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import SQLModel, select

from mailshot import documents
from mailshot.facts import catalogue
from mailshot.ingest import importer
from mailshot.ingest.import_report import FileReport, ImportSummary, Progress, silent
from mailshot.ingest.importer import Options
from mailshot.profile import preferences
from mailshot.store.engine import Store

TOPICS = ("offers", "recipes", "service")
KEY = b"0123456789abcdef" * 2
FACTS = """
customer:
  age: {type: text}
  children: {type: number}
  member: {type: boolean}
  birthday: {type: date}
product:
  organic: {type: boolean}
event:
  redeemed: {facts: {coupon: {type: text}}}
  viewed: {facts: {seconds: {type: number, unit: seconds}, page: {type: text, choices: [home, shop]}}}
interaction:
  agent: {type: text}
"""
QUESTIONS = """
diet: {title: Diet, values: {everything: All, vegetarian: Vegetarian, vegan: {label: Vegan, implies: vegetarian}}}
hobby: {title: Hobbies, choice: several, values: {garden: Garden, cooking: Cooking}}
"""

CUSTOMERS = "kind: customers\n    file: customers.csv\n    columns: {key: id, email: mail, first_name: name, age: age}"
PRODUCTS = "kind: products\n    file: products.csv\n    columns: {key: sku, name: name, price: price, organic: organic}"
PURCHASES = (
    "kind: purchases\n    file: purchases.csv\n    columns: "
    "{customer: id, order: receipt, product: sku, at: at, quantity: n, amount: paid}"
)

FILES = {
    "customers.csv": "id,mail,name,age\n1,ann@example.com,Ann,30\n2,bob@Example.com,Bob,\n3,,Cy,50\n",
    "products.csv": "sku,name,price,organic\nA,Apple,0.50,yes\nB,Beef,12.3456,no\n",
    "purchases.csv": (
        "id,receipt,sku,at,n,paid\n1,R1,A,2026-01-02 03:04:05,2,1.00\n1,R1,A,2026-01-02 03:04:05,1,0.50\n"
        "2,R2,B,2026-01-03T10:00:00Z,0.5,6.1728\n2,R3,C,2026-01-04,-1,-3.00\n"
    ),
}


@dataclass
class Shop:
    """A folder with data files and a mapping, and the store they go to."""

    folder: Path
    store: Store
    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, files: Mapping[str, str | bytes]) -> None:
        for name, body in files.items():
            (self.folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())

    def load(
        self,
        *imports: str,
        zone: str = "UTC",
        name: str = "Shop",
        dry: bool = False,
        progress: Progress = silent,
        file: Path | None = None,
        now: datetime | None = None,
    ) -> ImportSummary:
        """Import with a mapping of these imports (each as YAML below its dash)."""
        lines = "".join(f"  - {entry}\n" for entry in imports)
        path = self.folder / "mapping.yaml"
        path.write_text(f"name: {name}\ntime_zone: {zone}\nimports:\n{lines}", encoding="utf-8")
        facts = catalogue.read(documents.parse_document(FACTS, "facts.yaml"))
        rejects = self.folder / "rejects"
        asked = preferences.read(documents.parse_document(QUESTIONS, "preferences.yaml"))
        options = Options(facts, TOPICS, KEY, rejects, file=file, progress=progress, now=now, statements=asked)
        return (importer.check_import if dry else importer.run_import)(self.store, path, options)

    def one(self, what: str, **options: Any) -> FileReport:
        """Import one file and return its report."""
        (report,) = self.load(what, **options).imports
        return report

    def all(self, **options: Any) -> ImportSummary:
        """Import the customers, products and purchases of the shop."""
        return self.load(CUSTOMERS, PRODUCTS, PURCHASES, **options)

    def rejected(self, report: FileReport) -> list[dict[str, str]]:
        """Return what was wrong with each cell, as the notes file lists it."""
        with open(report.notes, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def warned(self, report: FileReport, value: str | None = None) -> list[str]:
        """Return what was said of cells whose rows came in (of those with a value), with their columns."""
        notes = self.rejected(report) if report.notes else []
        warnings = [note for note in notes if note["reason"].startswith("warning: ") and value in (None, note["value"])]
        reasons = [note["reason"].removeprefix("warning: ").removeprefix("imported without: ") for note in warnings]
        return [f"{note['column']} {reason}".strip() for note, reason in zip(warnings, reasons, strict=True)]

    def to_fix(self, report: FileReport, delimiter: str = ",") -> list[dict[str, str]]:
        """Return the rows of the file that is to be fixed and read again."""
        with open(report.rejects, encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, delimiter=delimiter))

    def rows(self, table: type[SQLModel], *columns: str) -> list[tuple[Any, ...]]:
        """Return these columns of every row, sorted."""
        shape = table.metadata.tables[str(table.__tablename__)]
        with self.store.read() as connection:
            values = connection.execute(select(*(shape.c[column] for column in columns))).all()
        return sorted((tuple(row) for row in values), key=repr)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table but the version's."""
        tables = SQLModel.metadata.tables
        with self.store.read() as connection:
            return {
                name: sorted((tuple(row) for row in connection.execute(select(*table.c)).all()), key=repr)
                for name, table in tables.items()
            }
