"""Cuts what a person wrote from the mail that is quoted below it, and recognizes a request to get no more mail."""

from __future__ import annotations

import re

MAX_TEXT = 20_000
"""Characters of a reply that are kept."""
MAX_LINES = 1000
#: A request to stop is short. Who writes more says something else, too.
MAX_REQUEST = 300

_WROTE = re.compile(
    r"^(?:on|am|le|el|il|op|em|den|em|w dniu|dnia|в|at) .{4,200}|^.{4,200}(?:<[^<>@\s]{1,100}@[^<>@\s]{1,250}>"
    r"|\d{1,2}:\d{2}).{0,80}",
    re.IGNORECASE,
)
_WROTE_END = re.compile(
    r"(?:wrote|writes|schrieb|a écrit|escribió|escribio|ha scritto|schreef|escreveu|skrev|napisał(?:\(a\))?"
    r"|написал\w?|kirjoitti|写道|書きました)[^\n]{0,100}:?\s*$",
    re.IGNORECASE,
)
_DIVIDER = re.compile(
    r"^[\s>]{0,5}[-_]{2,}\s?(?:original message|original-nachricht|ursprüngliche nachricht|originalnachricht"
    r"|message d'origine|message original"
    r"|mensaje original|messaggio originale|oorspronkelijk bericht|forwarded message|weitergeleitete nachricht"
    r"|reply message|antwortnachricht"
    r"|原始邮件|元のメッセージ)\s?[-_]{0,20}|^_{20,}\s*$|^-{20,}\s*$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"^\*?(?:from|von|de|da|van|från|fra|od|от|发件人|差出人)\*?\s?:\*?\s", re.IGNORECASE)
_HEADER_NEXT = re.compile(
    r"^\*?(?:sent|gesendet|date|datum|envoyé|enviado(?: el)?|fecha|inviato|data|verzonden|to|an|à|para|a|aan"
    r"|subject|betreff|objet|asunto|oggetto)\*?\s?:",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    r"^(?:-- ?|sent from my .{1,40}|von meinem .{1,40} gesendet|envoyé de(?:puis)? mon .{1,40}"
    r"|enviado desde mi .{1,40}|get outlook for .{1,40})$",
    re.IGNORECASE,
)
#: What may stand before a request.
_POLITE = (
    r"(?:please|pls|hi|hello|bitte|hallo|guten tag|sehr geehrte damen und herren|bonjour|merci de|s'il vous plaît|svp"
    r"|hola|por favor)"
)
_MAIL = (
    r"(?:e-?mails?|mails?|newsletters?|messages?|nachricht\w*|werbung|post|courriels?|correos?|mensajes?|publicidad)"
)
_REQUESTS = (
    r"take (?:me|us|my (?:e-?mail|address|name)) (?:off|out|from)",
    r"(?:un-?subscribe|remove|delete) (?:me|us|my (?:e-?mail|address|name)|this (?:e-?mail|address))",
    r"un-?subscribe\W{0,3}$",
    r"opt[ -]?(?:me )?out",
    r"stop\W{0,3}$",
    r"stop (?:sending|e-?mailing|mailing|writing|spamming|these|this|the (?:e-?mails|mails))",
    r"(?:do not|don't|dont|no longer) (?:send|mail|e-?mail|write|contact)",
    rf"no more {_MAIL}",
    r"cancel (?:my|the|this) (?:subscription|newsletter)",
    rf"i (?:do not|don't|no longer) (?:want|wish)[^.\n]{{0,40}}{_MAIL}",
    r"(?:abmelden|abbestellen)\b",
    rf"(?:ich )?(?:möchte|will|wünsche)[^.\n]{{0,40}}(?:(?:keine|nicht mehr)[^.\n]{{0,30}}{_MAIL}|abmelden"
    rf"|abbestell)",
    r"(?:tragen|nehmen|streichen|löschen|entfernen|melden) sie (?:mich|meine (?:e-?mail|mail|adresse|daten))",
    rf"keine (?:weiteren |mehr )?{_MAIL}",
    rf"(?:schicken|senden) sie mir (?:bitte )?(?:keine|nichts)[^.\n]{{0,20}}(?:mehr|{_MAIL})",
    r"(?:me )?d[ée]s(?:inscri|abonn)\w*",
    rf"(?:ne m'envoyez plus|n'envoyez plus|ne plus)[^.\n]{{0,40}}{_MAIL}?",
    r"(?:veuillez )?(?:me )?(?:retirer|supprimer|désinscrire|désabonner) ",
    rf"je (?:ne (?:veux|souhaite|désire) plus[^.\n]{{0,40}}{_MAIL}|(?:souhaite|veux) me dés)",
    r"(?:darme|dar(?:me)? de|d[ée]nme|denme|dame|quiero darme) (?:de )?baja",
    r"baja\W{0,3}$",
    r"cancelar (?:la |mi )?suscripción",
    rf"no (?:me )?(?:env[ií]en|envíes|manden|mandes|quiero|deseo)[^.\n]{{0,40}}{_MAIL}",
    r"(?:elim[ií]nen|eliminar|borren|quiten|quitar)(?:me)? (?:mi |de )[^.\n]{0,40}",
)
_STOP = re.compile(
    rf"^\W{{0,5}}(?:{_POLITE}\W{{1,5}}){{0,4}}(?:and |und |et |y )?(?:{'|'.join(_REQUESTS)})", re.IGNORECASE
)
_ANSWER = re.compile(r"^(?:(?:re|aw|tr|rv)\s?:\s?)+", re.IGNORECASE)


def written_text(text: str) -> str:
    """Return what a person wrote: without quotes, the mail below, and the signature."""
    lines = text[: 4 * MAX_TEXT].split("\n")[:MAX_LINES]
    kept: list[str] = []
    for number, line in enumerate(lines):
        stripped = line.strip()[:400]
        following = lines[number + 1].strip()[:400] if number + 1 < len(lines) else ""
        if _DIVIDER.match(stripped) or _SIGNATURE.match(line.rstrip("\r")[:100]) or _begins_quote(stripped, following):
            if any(kept):
                break
            continue
        if not stripped.startswith((">", "|")):
            kept.append(line.rstrip())
    return "\n".join(kept).strip()[:MAX_TEXT]


def _begins_quote(line: str, following: str) -> bool:
    """Return whether a line, alone or with the next one, introduces a quoted mail."""
    if _HEADER.match(line):
        return _HEADER_NEXT.match(following) is not None
    if not _WROTE.match(line):
        return False
    return _WROTE_END.search(line) is not None or _WROTE_END.search(f"{line} {following}") is not None


def asks_to_stop(text: str, subject: str) -> bool:
    """Return whether a reply only asks to get no more mail. Its owner decides; it is no withdrawal by itself."""
    written = " ".join(text.split())
    # An answer to an offer has our own subject, so the subject counts only where nothing else is written.
    request = written or _ANSWER.sub("", subject.strip()[:200])
    return len(request) <= MAX_REQUEST and _STOP.search(request) is not None
