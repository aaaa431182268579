"""Durations as people write them ("90m", "7d") and as the engine counts them (microseconds)."""

import re
from datetime import timedelta

__all__ = ["MICROS", "duration_name", "micros", "parse_duration"]

MICROS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_PATTERN = re.compile(r"^(\d+)\s*([smhd])$")


def parse_duration(text: str | int | timedelta) -> timedelta:
    """Read "30s", "15m", "1h", "7d", or 0.

    Raises
    ------
    ValueError
        The text has no unit, is negative, or is not a whole number of a known unit.
    """
    if isinstance(text, timedelta):
        return text
    if text in (0, "0"):
        return timedelta(0)
    match = _PATTERN.match(str(text).strip())
    if match is None:
        raise ValueError(f"found {text!r}, wanted a whole number with a unit s, m, h or d such as '15m' or '7d'")
    return timedelta(microseconds=int(match.group(1)) * MICROS[match.group(2)])


def micros(duration: timedelta) -> int:
    """Length in whole microseconds, exact (timedelta.total_seconds() is a float)."""
    return duration // timedelta(microseconds=1)


def duration_name(duration: timedelta) -> str:
    """The one name of a length: the largest unit that divides it, so 24h is "1d" (S25)."""
    total = micros(duration)
    for unit in ("d", "h", "m", "s"):
        if total % MICROS[unit] == 0:
            return f"{total // MICROS[unit]}{unit}"
    return f"{total}us"
