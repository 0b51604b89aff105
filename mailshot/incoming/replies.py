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
_STOP = re.compile(
    r"^\W{0,5}(?:(?:please|pls|hi|hello|bitte|hallo|guten tag|sehr geehrte damen und herren|bonjour|merci de"
    r"|s'il vous plaît|svp|hola|por favor)\W{0,5}){0,4}(?:and |und |et |y )?(?:"
    r"(?:un-?subscribe|remove|take|delete) (?:me|us|my (?:e-?mail|address|name)|this (?:e-?mail|address))"
    r"|un-?subscribe\W|unsubscribe$|opt[ -]?(?:me )?out|stop\W{0,3}$|stop (?:sending|e-?mailing|mailing|writing"
    r"|spamming|these|this|the (?:e-?mails|mails))"
    r"|(?:do not|don't|dont|no longer) (?:send|mail|e-?mail|write|contact)|no more (?:e-?mails?|mails?"
    r"|newsletters?|messages)|cancel (?:my|the|this) (?:subscription|newsletter)|i (?:do not|don't"
    r"|no longer) (?:want|wish)[^.\n]{0,40}(?:mail|newsletter|message)"
    r"|abmelden|abbestellen|(?:ich )?(?:möchte|will|wünsche)[^.\n]{0,40}(?:keine|abmelden|abbestell|nicht mehr)"
    r"|(?:tragen|nehmen|streichen|löschen|entfernen|melden) sie (?:mich|meine)[^.\n]{0,60}|keine (?:weiteren "
    r"|mehr )?(?:e-?mails?|mails?|newsletter|werbung)|(?:schicken|senden) sie mir (?:bitte )?(?:keine|nichts)"
    r"|(?:me )?d[ée]s(?:inscri|abonn)\w*|ne (?:plus|m'envoyez plus)|n'envoyez plus"
    r"|(?:veuillez )?(?:me )?(?:retirer|supprimer|désinscrire|désabonner)|je (?:ne (?:veux|souhaite|désire) plus"
    r"|souhaite me dés|veux me dés)[^.\n]{0,60}"
    r"|(?:darme|dar(?:me)? de|d[ée]nme|denme|dame) (?:de )?baja|baja\W{0,3}$|cancelar (?:la |mi )?suscripción"
    r"|no (?:me )?(?:env[ií]en|envíes|manden|mandes|quiero|deseo)[^.\n]{0,40}|(?:elim[ií]nen|eliminar|borren"
    r"|quiten|quitar)(?:me)?\W[^.\n]{0,40}"
    r")",
    re.IGNORECASE,
)


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
    if not written:
        return _STOP.search(re.sub(r"^(?:(?:re|aw|tr|rv)\s?:\s?)+", "", subject.strip()[:200], flags=re.I)) is not None
    return len(written) <= MAX_REQUEST and _STOP.search(written) is not None
