"""Keys and times packed into one sortable integer: sort orders, and axes that place times beside codes. Numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ints", "TimeAxis", "make_axis", "run_starts", "sort_order"]

Ints = NDArray[np.int64]
_LIMIT = 62  # bits of a packed (code, time) that leave room for the sign


def sort_order(packed: Ints) -> Ints:
    """Permutation that sorts non-negative `packed` stably.

    Where value and row number fit into one int64 they are sorted as one number, which numpy does with vector
    instructions; else an ordinary stable argsort.
    """
    n = len(packed)
    row_bits = max(n - 1, 1).bit_length()
    if n and int(packed.max()).bit_length() + row_bits <= _LIMIT:
        both = (packed << row_bits) | np.arange(n, dtype=np.int64)
        both.sort()
        return both & ((1 << row_bits) - 1)
    return np.argsort(packed, kind="stable").astype(np.int64)


def run_starts(*columns: Ints) -> Ints:
    """Positions at which a run of equal rows begins."""
    fresh = np.ones(len(columns[0]), dtype=bool)
    if len(fresh):
        fresh[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(fresh)


@dataclass(frozen=True)
class TimeAxis:
    """Maps times to small non-negative integers so that (code, time) packs into one int64.

    `ticks` is None where time - base fits beside the codes; else the sorted distinct times, and a time becomes its rank.
    """

    base: int
    span: int
    ticks: Ints | None

    def place(self, codes: Ints, times: Ints) -> Ints:
        """Packed position such that order by it is order by (code, time); times off the axis are clipped to its ends."""
        if self.ticks is not None:
            at = np.searchsorted(self.ticks, times, side="left")
        else:
            at = np.clip(times - self.base, 0, self.span - 1)
        return codes * self.span + at


def make_axis(times: Ints, *, codes: int) -> TimeAxis:
    """Axis over `times` that can be packed with codes 0 .. codes - 1."""
    if len(times) == 0:
        return TimeAxis(base=0, span=1, ticks=None)
    low, high = int(times.min()), int(times.max())
    span = high - low + 2  # one place after the last time, for edges beyond it
    if (span * max(codes, 1)).bit_length() <= _LIMIT:
        return TimeAxis(base=low, span=span, ticks=None)
    ticks = np.unique(times)
    return TimeAxis(base=low, span=len(ticks) + 1, ticks=ticks)
