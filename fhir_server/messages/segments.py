"""How long a text message is: GSM 03.38 has 160 characters a message, everything else 70.

https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
"""

from __future__ import annotations

import unicodedata

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
"""These take two places."""
_TYPOGRAPHY = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"',
        "\u00bb": '"', "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2026": "...",
        "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "", "\t": " ",
    }
)  # fmt: skip


def segments(text: str) -> int:
    """How many messages a text is charged as; 0 for none."""
    if is_gsm(text):
        return _packed([2 if one in _EXTENDED else 1 for one in text], 160, 153)
    return _packed([len(one.encode("utf-16-le")) // 2 for one in text], 70, 67)


def is_gsm(text: str) -> bool:
    """Whether every character has a place in the alphabet of GSM."""
    return all(one in _BASIC or one in _EXTENDED for one in text)


def _packed(widths: list[int], alone: int, each: int) -> int:
    """A character is not torn apart between two messages."""
    if sum(widths) <= alone:
        return 1 if widths else 0
    count, room = 1, each
    for width in widths:
        if width > room:
            count, room = count + 1, each
        room -= width
    return count


def plain(text: str) -> str:
    """The text with the characters of GSM where that loses no more than accents and typography; else as it is.

    ``Confirmación`` becomes ``Confirmacion``: one ``ó`` would make the whole message two.
    """
    simple = "".join(_simple(one) for one in unicodedata.normalize("NFC", text.translate(_TYPOGRAPHY)))
    return simple if is_gsm(simple) else text


def _simple(one: str) -> str:
    if one in _BASIC or one in _EXTENDED:
        return one
    base = "".join(part for part in unicodedata.normalize("NFD", one) if not unicodedata.combining(part))
    return base if base and is_gsm(base) else one
