"""The clock that development moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fhir_server.clock import Led, Moved, clock_of, real
from fhir_server.settings import Settings


def test_clocks_by_name() -> None:
    assert clock_of("") is real
    assert clock_of("+3d") == Moved(offset=3 * 86_400_000)
    assert clock_of("-90min") == Moved(offset=-90 * 60_000)
    assert clock_of("x600@1764170000000") == Moved(rate=600, origin=1764170000000)
    for text in ("3d", "+3", "+3w", "x0@1", "x600", "x600@", "now", "+1d ", "x9999999@1", "+36501d", "file:clock"):
        with pytest.raises(ValueError, match="not a clock"):
            clock_of(text)


def test_time_away_and_time_that_runs() -> None:
    before = real()
    assert before + 60_000 <= Moved(offset=60_000)() <= real() + 60_000
    origin = real() - 1000
    assert Moved(rate=600, origin=origin)() >= origin + 600_000
    assert Moved(rate=600, origin=real() + 10**9)() <= real()  # not begun yet


def test_time_is_moved_in_development_alone() -> None:
    assert Settings(clock="+1d", environment="development").clock == "+1d"
    with pytest.raises(ValidationError, match="FHIR_CLOCK: for FHIR_ENVIRONMENT"):
        Settings(clock="+1d")
    with pytest.raises(ValidationError, match="not a clock"):
        Settings(clock="tomorrow", environment="development")


def test_a_led_clock_is_set_forward_for_everybody(tmp_path: Path) -> None:
    led = clock_of(f"file:{tmp_path / 'clock'}")
    assert isinstance(led, Led)
    assert led.ahead() == 0
    led.forward(3_600_000)
    led.forward(1)
    other = clock_of(f"file:{tmp_path / 'clock'}")
    before = real()
    assert before + 3_600_001 <= other() <= real() + 3_600_001
