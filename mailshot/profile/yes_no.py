# ruff: noqa: RUF001 (words of other alphabets are meant)
"""How languages say yes and no: CLDR has these words, but Babel does not bring them along."""

from __future__ import annotations

#: By language, the word for true, then the one for false.
YES_NO = {
    "ar": ("نعم", "لا"), "bg": ("да", "не"), "ca": ("sí", "no"), "cs": ("ano", "ne"), "da": ("ja", "nej"),
    "de": ("ja", "nein"), "el": ("ναι", "όχι"), "en": ("yes", "no"), "es": ("sí", "no"), "et": ("jah", "ei"),
    "fi": ("kyllä", "ei"), "fr": ("oui", "non"), "he": ("כן", "לא"), "hi": ("हाँ", "नहीं"), "hr": ("da", "ne"),
    "hu": ("igen", "nem"), "is": ("já", "nei"), "it": ("sì", "no"), "ja": ("はい", "いいえ"), "ko": ("예", "아니요"),
    "lt": ("taip", "ne"), "lv": ("jā", "nē"), "nb": ("ja", "nei"), "nl": ("ja", "nee"), "nn": ("ja", "nei"),
    "no": ("ja", "nei"), "pl": ("tak", "nie"), "pt": ("sim", "não"), "ro": ("da", "nu"), "ru": ("да", "нет"),
    "sk": ("áno", "nie"), "sl": ("da", "ne"), "sr": ("да", "не"), "sv": ("ja", "nej"), "tr": ("evet", "hayır"),
    "uk": ("так", "ні"), "zh": ("是", "否"),
}  # fmt: skip
