"""An axis of a drawing: a range of numbers, where a number lies on it, and the round numbers to write beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "axis_of", "log_axis", "symmetric_axis", "ticks"]

_MOST = 5  # steps between the numbers beside a linear axis, about
_DECADES = (1, 2, 5)


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high`, low < high; a logarithmic one begins above 0."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Share of the way from low to high, kept in [0, 1]: what lies outside is drawn at the edge."""
        if self.log:
            share = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)


def axis_of(values: Iterable[float], *, zero: bool = False) -> Axis:
    """A linear axis around finite values with a little room; with `zero` it begins or ends at 0 where they have one sign."""
    found = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(found), max(found)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 0.5
    return Axis(low if zero and low == 0 else low - room, high if zero and high == 0 else high + room)


def log_axis(values: Iterable[float]) -> Axis:
    """A logarithmic axis around those of the values that are finite and above 0."""
    found = [v for v in values if math.isfinite(v) and v > 0] or [0.1, 1.0]
    low, high = min(found), max(found)
    room = max((high / low) ** 0.06, 1.05)
    return Axis(low / room, high * room, log=True)


def symmetric_axis(ratios: Iterable[float], *, least: float, most: float) -> Axis:
    """A logarithmic axis as far below 1 as above it, around finite ratios: to `least` at least, and to `most` at most."""
    sizes = [abs(math.log(r)) for r in ratios if math.isfinite(r) and r > 0]
    span = min(max([*sizes, math.log(least) / 1.15]) * 1.15, math.log(most))
    return Axis(math.exp(-span), math.exp(span), log=True)


def ticks(axis: Axis, *, most: int = _MOST) -> list[tuple[float, str]]:
    """Round numbers on the axis, ascending, with their texts; `most` or a few more."""
    found = _decades(axis, most=most) if axis.log else []
    if len(found) < 3:
        found = _steps(axis, most=most)
    return [(value, f"{round(value, 12):.6g}") for value in found]


def _decades(axis: Axis, *, most: int) -> list[float]:
    """1, 2 and 5 times powers of ten; only the powers, or some of them, where those are too many."""
    first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
    every = [factor * 10.0**power for power in range(first, last + 1) for factor in _DECADES]
    inside = [value for value in every if axis.low <= value <= axis.high]
    if len(inside) <= most + 1:
        return inside
    powers = [10.0**power for power in range(first, last + 1) if axis.low <= 10.0**power <= axis.high]
    return powers[:: -(-len(powers) // (most + 1))] if len(powers) >= 3 else inside


def _steps(axis: Axis, *, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    wanted = (axis.high - axis.low) / most
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(factor * power for factor in (*_DECADES, 10) if factor * power >= wanted * (1 - 1e-9))
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]
