"""Normalises customers' countries, languages and time zones to ISO 3166, BCP 47 and IANA codes.

Rules, mails and local days compare these codes letter by letter, so a word that is no code would match nothing and say
nothing. Case and separators are put right where only one code can be meant; anything else costs the row this value.
"""

from __future__ import annotations

from collections.abc import Callable

from mailshot.facts import locales, time_zones
from mailshot.ingest.duckdb_sql import literal, name
from mailshot.ingest.fields import CODE_FIELDS, Field, Kind
from mailshot.ingest.loaders.loader import Loading
from mailshot.ingest.parse_file import Reading

_NAMED = "; use 'values:' in the mapping to translate it"
#: By field, each of CODE_FIELDS: what gives the code of a text (None: there is none), and why a text is refused.
CODES: dict[str, tuple[Callable[[str], str | None], str]] = {
    "country": (locales.country_code, f"is not a country code as in NO (ISO 3166){_NAMED}"),
    "language": (locales.language_tag, f"is not a language code as in nb or en-GB (BCP 47){_NAMED}"),
    "time_zone": (time_zones.name_of, f"is not a time zone as in Europe/Oslo (IANA){_NAMED}"),
}
_MEANT = {"cell": "VARCHAR", "code": "VARCHAR"}


def is_code(kind: Kind, field: Field) -> bool:
    """Return whether a field holds one of the codes."""
    return kind is Kind.customers and not field.own and field.name in CODE_FIELDS


def fault(reading: Reading, field: str, text: str) -> str:
    """Return why a text of the mapping is no code for its field, '' when it is one or the field holds none."""
    if not is_code(reading.item.kind, reading.fields[field]) or CODES[field][0](text):
        return ""
    return CODES[field][1]


def normalise_codes(loading: Loading) -> None:
    """Write every code of the rows as it is meant, and take those away that do not exist; each text is judged once."""
    rows = loading.reading.rows
    for field in [key for key, field in loading.reading.fields.items() if is_code(loading.reading.item.kind, field)]:
        code_of, reason = CODES[field]
        cell = name(field)
        texts = loading.db.run(f"SELECT DISTINCT {cell} FROM {rows} WHERE {cell} IS NOT NULL")
        loading.db.replace("meant", _MEANT, ((text, code_of(text)) for (text,) in texts))
        unknown = f'(SELECT "#line" FROM {rows} JOIN meant ON {cell} = cell WHERE code IS NULL)'
        loading.drop_value(field, literal(reason), unknown)
        loading.db.run(f"UPDATE {rows} SET {cell} = code FROM meant WHERE {cell} = cell AND code <> cell")
