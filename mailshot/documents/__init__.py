"""Strict YAML in which every node knows its line and column.

Tags, anchors, aliases, merges and duplicate keys are errors, as are more than 64 KB or 20 levels. Every scalar keeps
the text as written (`NO` is a country, `01234` a postcode); the reader of a field decides its type. Start at `load`.
"""

from mailshot.documents.document import MOST_BYTES, Document, decode, load, parse, unknown_word
from mailshot.documents.nodes import Mapping, Node, Problems, Scalar, Sequence, Step, plain
from mailshot.documents.yaml_reader import MOST_LEVELS

__all__ = [
    "MOST_BYTES",
    "MOST_LEVELS",
    "Document",
    "Mapping",
    "Node",
    "Problems",
    "Scalar",
    "Sequence",
    "Step",
    "decode",
    "load",
    "parse",
    "plain",
    "unknown_word",
]
