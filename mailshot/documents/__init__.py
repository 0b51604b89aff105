"""Strict YAML whose every piece knows its place.

Tags, anchors, aliases and merges are refused, as are duplicate keys, more than 64 KB or 20 levels. Every scalar stays
the text that was written (`NO` is a country, `01234` a postcode): whoever reads a field decides its type.
"""

from mailshot.documents.document import MOST_BYTES, Document, decode, load, parse
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
]
