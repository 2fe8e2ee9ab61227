"""What a short text message means, in English, Spanish and German. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Act = Literal["confirm", "reschedule", "cancel", "decline", "stop", "start", "help", "number", "unknown"]

LONGEST = 40
"""Characters of an answer that is looked at: a letter to the clinic is none."""

_WORDS: dict[Act, dict[str, str]] = {
    "confirm": {
        "": "c yes y confirm confirmed ok okay",
        "es": "si s confirmo confirmar confirmado",
        "de": "ja j bestatige bestatigen bestatigt bestaetige bestaetigen",
    },
    "reschedule": {
        "": "r reschedule change move",
        "es": "cambiar cambio reprogramar",
        "de": "verschieben andern aendern umbuchen",
    },
    "cancel": {"": "cancel x", "es": "cancelar cancelo anular", "de": "absagen absage stornieren storno"},
    "decline": {"": "n no decline", "es": "rechazar", "de": "nein ablehnen"},
    "stop": {"": "stop stopall unsubscribe end quit", "es": "parar baja alto", "de": "abmelden stopp"},
    "start": {"": "start unstop", "es": "alta iniciar", "de": "anmelden"},
    "help": {"": "help info", "es": "ayuda", "de": "hilfe"},
}
"""By language; those of no language are said in all: our texts in every language ask for them."""

_MEANING = {
    word: (act, language)
    for act, listed in _WORDS.items()
    for language, words in listed.items()
    for word in words.split()
}


@dataclass(frozen=True, slots=True)
class Answer:
    """``number`` is what a choice was answered with; ``language`` that of the words, empty where it may be any."""

    act: Act
    number: int = 0
    language: str = ""


def answer_of(text: str) -> Answer:
    """What somebody answered: one word, with or without a number (``C 2``); *unknown* for anything else.

    More than one word of different meaning (``yes cancel``) is unknown: an appointment is not cancelled by a guess.
    """
    words = _words(text)
    numbers = [int(one) for one in words if re.fullmatch(r"[1-9]", one)]
    said = [_MEANING.get(one, ("unknown", "")) for one in words if not one.isdigit()]
    acts = {act for act, _ in said}
    if (
        len(words) - len(numbers) > 3
        or len(numbers) > 1
        or any(one.isdigit() and one not in "123456789" for one in words)
    ):
        return Answer("unknown")
    known = acts - {"unknown"}
    if "unknown" in acts or len(known) > 1:
        return Answer("unknown")
    number = numbers[0] if numbers else 0
    if known:
        languages = {language for _, language in said if language}
        return Answer(next(iter(known)), number, languages.pop() if len(languages) == 1 else "")
    return Answer("number", number) if number else Answer("unknown")


def _words(text: str) -> list[str]:
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return re.findall(r"[a-z0-9]+", plain) if len(plain) <= LONGEST else ["?", "text"]
