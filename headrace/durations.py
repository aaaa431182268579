"""Durations as people write them ("90m", "7d") and as the engine counts them (microseconds)."""

import re
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["MICROS", "Window", "duration_name", "micros", "parse_duration", "parse_window"]

MICROS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_MOST_DAYS = 36_500
_PATTERN = re.compile(r"^(\d+)\s*([smhd])$")
_WINDOW = re.compile(r"^(lifetime|\d+\s*[smhd]|0)(?:\s+ending\s+(\d+\s*[smhd])\s+before)?$")


def parse_duration(text: str | int | timedelta) -> timedelta:
    """Read "30s", "15m", "1h", "7d", or 0.

    Raises
    ------
    ValueError
        The text has no unit, is negative, is not a whole number of a known unit, or is longer than a century.
    """
    if isinstance(text, timedelta):
        return text
    if text in (0, "0"):
        return timedelta(0)
    match = _PATTERN.match(str(text).strip())
    if match is None:
        raise ValueError(f"found {text!r}, wanted a whole number with a unit s, m, h or d such as '15m' or '7d'")
    found = int(match.group(1)) * MICROS[match.group(2)]
    if found > _MOST_DAYS * MICROS["d"]:
        raise ValueError(f"found {text!r}, wanted at most {_MOST_DAYS}d; for all of history there is `lifetime`")
    return timedelta(microseconds=found)


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


@dataclass(frozen=True, order=True)
class Window:
    """The span [as_of - ends - length, as_of - ends); without a length it reaches back to the first event."""

    ends: timedelta
    length: timedelta | None

    @property
    def name(self) -> str:
        """`7d`, `lifetime`, `7d_ending_1d_before`."""
        length = "lifetime" if self.length is None else duration_name(self.length)
        return f"{length}_ending_{duration_name(self.ends)}_before" if self.ends else length

    @property
    def words(self) -> str:
        """The span in the notation of docs/design.md."""
        end = f"as_of - {duration_name(self.ends)}" if self.ends else "as_of"
        if self.length is None:
            return f"before {end}"
        return f"in [as_of - {duration_name(self.ends + self.length)}, {end})"


def parse_window(text: str | timedelta | Window) -> Window:
    """Read "7d", "lifetime", "7d ending 1d before".

    Raises
    ------
    ValueError
        It is none of these, or a length is not a whole number of a known unit above 0.
    """
    if isinstance(text, Window):
        return text
    if isinstance(text, timedelta):
        return Window(timedelta(0), text)
    match = _WINDOW.match(str(text).strip())
    if match is None:
        raise ValueError(f"found {text!r}, wanted a window such as '7d', 'lifetime' or '7d ending 1d before'")
    length = None if match.group(1) == "lifetime" else parse_duration(match.group(1))
    if length == timedelta(0):
        raise ValueError(f"found an empty window {text!r}, wanted a length above 0")
    return Window(parse_duration(match.group(2) or 0), length)
