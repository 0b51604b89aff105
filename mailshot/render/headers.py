"""Encodes mail headers: RFC 5322 lines and addresses, RFC 2047 encoded words, RFC 5891 domains.

No value can end its line, start a new header or pose as an encoded word.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from email.utils import encode_rfc2231
from functools import lru_cache

import idna

from mailshot.render.problems import RenderError

WIDTH = 78
"""Octets of a header line where possible (RFC 5322 §2.1.1)."""
LONGEST = 998
LONGEST_NAME = 500
"""Characters of a mailbox's name; the rest of a longer one is left out."""
_WORD = 75
"""Octets of an encoded word (RFC 2047 §2)."""
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_POSING = re.compile(r"=(?=\?)")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LOCAL = re.compile(r"[^\s\x00-\x20\x7f-\xa0\"(),:;<>@\[\]\\\u2028\u2029]{1,64}")
_SAFE_Q = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_URL = re.compile(r"[!-;=?-~]+")
_PLAIN_WORD = re.compile(r"[!-9;-~]+")
_NOT_IN_WORD = re.compile(r"[^A-Za-z0-9._]+")


def clean(text: object) -> str:
    """Make any value fit for a header: no control, line or paragraph separator, no `=?`, single blanks."""
    return " ".join(_POSING.sub("= ", _CONTROLS.sub(" ", str(text))).split())


def unstructured(name: str, value: object) -> str:
    """Write a header of free text (Subject), folded, without the last line end."""
    text = clean(value)
    if text.isascii() and all(len(word) <= LONGEST - len(name) - 4 for word in text.split(" ")):
        return fold(name, text.split(" "))
    return fold(name, encoded(text, len(name) + 2))


def fold(name: str, words: list[str]) -> str:
    """Join the words of a header with blanks, or line ends and blanks where a line would pass 78 octets."""
    line, lines = f"{name}:", []
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and line.strip() and not line.endswith(":"):
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line])


@lru_cache(maxsize=4096)
def encoded(text: str, taken: int) -> list[str]:
    """Write text as encoded words, the first of which shares its line with `taken` octets."""
    raw = text.encode()
    quoted = sum(1 if byte in _SAFE_Q or byte == 32 else 3 for byte in raw)
    spell, letter = (_q, "q") if quoted <= len(raw) * 4 // 3 else (_b, "b")
    frame = len("=?utf-8??=") + 2
    room = max(min(_WORD, WIDTH - 1 - taken) - frame, 16)
    words: list[str] = []
    run = b""
    for character in text:
        more = run + character.encode()
        if run and len(spell(more)) > room:
            words.append(f"=?utf-8?{letter}?{spell(run)}?=")
            run, room = character.encode(), _WORD - frame
        else:
            run = more
    return [*words, f"=?utf-8?{letter}?{spell(run)}?="]


def _q(raw: bytes) -> str:
    return "".join(chr(byte) if byte in _SAFE_Q else "_" if byte == 32 else f"={byte:02X}" for byte in raw)


def _b(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# Most mails of a run have the same From, List-Id and Feedback-ID.
@lru_cache(maxsize=4096, typed=True)
def mailbox(name: str, display: object, address: str) -> str:
    """Write a header of one mailbox: `To: "Ann B." <ann@example.com>`."""
    display_name, spelled = clean(display)[:LONGEST_NAME].strip(), f"<{ascii_address(address)}>"
    if not display_name:
        return fold(name, [spelled[1:-1]])
    if not display_name.isascii() or len(display_name) > 200:
        return fold(name, [*encoded(display_name, len(name) + 2), spelled])
    if not _ATOMS.fullmatch(display_name):
        display_name = '"' + display_name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return fold(name, [*display_name.split(" "), spelled])


def ascii_address(address: str) -> str:
    """Spell an address in ASCII, its domain as A-labels (IDNA 2008).

    Raises RenderError when it is not one plain address, or when its local part needs SMTPUTF8 (RFC 6531).
    """
    local, _, domain = address.rpartition("@")
    if not _LOCAL.fullmatch(local):
        raise RenderError("The e-mail address is not one plain address.")
    if not local.isascii():
        raise RenderError("The e-mail address has letters before the @ that need SMTPUTF8.")
    return f"{local}@{ascii_domain(domain)}"


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """Spell a domain as A-labels (IDNA 2008 after UTS 46 mapping). Raises RenderError when it is none."""
    try:
        spelled = idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        raise RenderError("The domain of the e-mail address is not valid.") from error
    return spelled


def addresses(name: str, uris: list[str]) -> str:
    """Write a header of URIs in angle brackets (RFC 2369), never encoded and folded only between them.

    Raises RenderError for a URI that is not plain ASCII or too long for a line.
    """
    for uri in uris:
        if not _URL.fullmatch(uri) or len(uri) > LONGEST - 6:
            raise RenderError(f"{name} needs a plain ASCII address of at most {LONGEST - 6} characters.")
    words = [f"<{uri}>" for uri in uris]
    return fold(name, [f"{word}," for word in words[:-1]] + words[-1:])


def word(text: str) -> str:
    """Spell a name as one ASCII word without a colon: as it is, or without accents and with a print of the name.

    The print keeps names apart that only differ in what was taken away.
    """
    if _PLAIN_WORD.fullmatch(text):
        return text
    ascii = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return "-".join(filter(None, (_NOT_IN_WORD.sub("-", ascii).strip("-"), digits)))


def quoted_token(name: str, value: str) -> str:
    """Write a header of one machine-read word, never encoded and never folded. Raises RenderError for any other."""
    if not re.fullmatch(r"[!-~]+", value) or len(name) + 2 + len(value) > LONGEST:
        raise RenderError(f"{name} needs one plain ASCII word.")
    return f"{name}: {value}"


@lru_cache(maxsize=4096, typed=True)
def listed(name: str, display: object, identifier: str) -> str:
    """Write List-Id (RFC 2919): a description and a name that looks like a domain."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,255}", identifier):
        raise RenderError(f"{name} needs a name like a domain, such as offers.example.com.")
    display_name = clean(display)
    described = (
        [f'"{display_name}"'.replace("\\", "")]
        if display_name.isascii() and '"' not in display_name and len(display_name) < 60
        else encoded(display_name, len(name) + 2)
    )
    return fold(name, [*(described if display_name else []), f"<{identifier}>"])


def disposition(kind: str, filename: str) -> str:
    """Write a Content-Disposition header (RFC 2183), with letters outside ASCII as in RFC 2231."""
    name = clean(filename)
    if name.isascii():
        parameter = 'filename="' + re.sub(r'[\\"]', "_", name) + '"'
    else:  # a plain name beside the encoded one would win in some readers
        parameter = f"filename*={encode_rfc2231(name, 'utf-8')}"
    return fold("Content-Disposition", [f"{kind};", parameter])
