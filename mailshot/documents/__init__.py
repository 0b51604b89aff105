"""Strict YAML in which every node knows its line and column.

Tags, anchors, aliases, merges and duplicate keys are errors, as are more than 64 KB or 20 levels. Every scalar keeps
the text as written (`NO` is a country, `01234` a postcode); the reader of a field decides its type. Start at
`load_document`.
"""

from mailshot.documents.document import MAX_BYTES, Document, decode, load_document, parse_document, unknown_word
from mailshot.documents.nodes import Mapping, Node, Problems, Scalar, Sequence, Step, plain
from mailshot.documents.yaml_reader import MAX_LEVELS

__all__ = [
    "MAX_BYTES",
    "MAX_LEVELS",
    "Document",
    "Mapping",
    "Node",
    "Problems",
    "Scalar",
    "Sequence",
    "Step",
    "decode",
    "load_document",
    "parse_document",
    "plain",
    "unknown_word",
]
