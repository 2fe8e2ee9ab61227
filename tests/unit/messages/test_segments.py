"""How long a text message is."""

from __future__ import annotations

import pytest

from fhir_server.messages.segments import is_gsm, plain, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("a", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2),
        ("é" * 160, 1), ("í" * 70, 1), ("í" * 71, 2), ("í" * 134, 2), ("í" * 135, 3), ("😀" * 35, 1), ("😀" * 36, 2),
        ("a\u202fb" + "c" * 68, 2), ("\n" * 160, 1),
        # The second half of a pair does not fit any more: 152 + 2 of 153.
        ("a" * 152 + "€" + "a" * 152, 3), ("a" * 151 + "€" + "a" * 153, 2),
        ("í" * 66 + "😀" + "í" * 66, 3),
    ],
)  # fmt: skip
def test_segments(text: str, count: int) -> None:
    assert segments(text) == count


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Confirmación, ¿sí? sábado", "Confirmacion, ¿si? sabado"),
        ("mié a las 4:30\u202fp.\u00a0m.", "mié a las 4:30 p. m."),
        ("Grüße \u2013 „bis bald“…", 'Grüße - "bis bald"...'), ("Приём завтра", "Приём завтра"), ("ñ Ñ é à", "ñ Ñ é à"),
        ("Cafe\u0301", "Café"), ("Łódź", "Łódź"), ("你好 sí", "你好 sí"),
    ],
)  # fmt: skip
def test_plain(text: str, made: str) -> None:
    assert plain(text) == made
    assert is_gsm(made) or made == text
