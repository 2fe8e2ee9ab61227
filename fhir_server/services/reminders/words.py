"""What a short text message means, in English, Spanish and German. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Act = Literal["confirm", "reschedule", "cancel", "decline", "stop", "start", "number", "unknown"]

LONGEST = 40
"""Characters of an answer that is looked at: a letter to the clinic is none."""

_WORDS: dict[Act, str] = {
    "confirm": "c yes y confirm confirmed ok okay si s confirmo confirmar confirmado ja j bestatige bestatigen "
    "bestatigt bestaetige bestaetigen",
    "reschedule": "r reschedule change move cambiar cambio reprogramar verschieben andern aendern umbuchen",
    "cancel": "cancel x cancelar cancelo anular absagen absage stornieren storno",
    "decline": "no n nein decline rechazar ablehnen",
    "stop": "stop stopall unsubscribe end quit parar baja alto abmelden stopp",
    "start": "start unstop alta iniciar anmelden",
}
_ACT = {word: act for act, words in _WORDS.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Answer:
    """``number`` is what a choice was answered with."""

    act: Act
    number: int = 0


def answer_of(text: str) -> Answer:
    """What somebody answered: one word, with or without a number (``C 2``); *unknown* for anything else.

    More than one word of different meaning (``yes cancel``) is unknown: an appointment is not cancelled by a guess.
    """
    words = _words(text)
    numbers = [int(one) for one in words if re.fullmatch(r"[1-9]", one)]
    acts = {_ACT.get(one, "unknown") for one in words if not one.isdigit()}
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
        return Answer(next(iter(known)), number)
    return Answer("number", number) if number else Answer("unknown")


def _words(text: str) -> list[str]:
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return re.findall(r"[a-z0-9]+", plain) if len(plain) <= LONGEST else ["?", "text"]
