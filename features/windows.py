"""Window arithmetic on plain arrays, apart from any engine: sort once, prefix sums, one search per edge.

Two clocks (docs/design.md, section 4). An event enters every window when it becomes visible and leaves the window of
width w when as_of passes event + w, so over the events that ever count

    sum(as_of) = sum of those with visible < as_of  -  sum of those with event < as_of - w

and a window sum is a difference of two prefix sums, each in an order of its own. Events that become visible only after
they left (visible >= event + w) are masked out of both. All arithmetic is in int64; differences of prefixes are exact
modulo 2^64, so a prefix may wrap as long as the window's own sum fits.

Times are integers of any unit (tiles or microseconds); codes are non-negative integers that name a key (x segment).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Edges",
    "Ints",
    "TimeAxis",
    "first_seen",
    "last_seen",
    "make_axis",
    "sort_order",
    "window_edges",
    "window_sums",
]

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


@dataclass(frozen=True)
class Edges:
    """Orders of the events and, per query, where its windows end and begin in them.

    Attributes
    ----------
    entering, leaving : Ints (E,)
        Order of the events by (code, visible) and by (code, event).
    start, high : Ints (Q,)
        First position of the query's code, and number of events entered before as_of, in `entering`.
    low : list of Ints (Q,), one per width
        Events with event < as_of - width, as a position in `leaving`.
    eligible : list of bool (E,) or None, one per width
        Events that ever count in that width; None where all do.
    """

    entering: Ints
    leaving: Ints
    start: Ints
    high: Ints
    low: list[Ints]
    eligible: list[NDArray[np.bool_] | None]


def window_edges(
    codes: Ints, event: Ints, visible: Ints, *, query_codes: Ints, as_of: Ints, widths: list[int], n_codes: int
) -> Edges:
    """Sort the events and search every window's edges.

    Parameters
    ----------
    codes, event, visible : Ints (E,)
        Key code, event time and visible time of each event; visible >= event.
    query_codes, as_of : Ints (Q,)
        Sorted by (code, as_of) the searches run fastest; any order is right.
    widths : list of int
        Window widths in the unit of the times.
    n_codes : int
        All codes are below it.
    """
    on_time = bool(np.array_equal(event, visible))
    entry_axis = make_axis(visible, codes=n_codes)
    entry = entry_axis.place(codes, visible)
    entering = sort_order(entry)
    entry = entry[entering]
    if on_time:
        exit_axis, leaving, leave = entry_axis, entering, entry
    else:
        exit_axis = make_axis(event, codes=n_codes)
        leave = exit_axis.place(codes, event)
        leaving = sort_order(leave)
        leave = leave[leaving]
    start = np.searchsorted(entry, query_codes * entry_axis.span, side="left")
    high = np.searchsorted(entry, entry_axis.place(query_codes, as_of), side="left")
    low, eligible = [], []
    for width in widths:
        low.append(np.searchsorted(leave, exit_axis.place(query_codes, as_of - width), side="left"))
        counts = None if on_time else visible < event + width
        eligible.append(None if counts is None or bool(counts.all()) else counts)
    return Edges(entering, leaving, start, high, low, eligible)


def window_sums(edges: Edges, values: Ints, *, window: int) -> Ints:
    """Sum of `values` (E,) over window number `window` of each query: Ints (Q,)."""
    mask = edges.eligible[window]
    counted = values if mask is None else np.where(mask, values, 0)
    entered = _prefix(counted[edges.entering])
    left = entered if edges.leaving is edges.entering else _prefix(counted[edges.leaving])
    return entered[edges.high] - left[edges.low[window]]


def _prefix(values: Ints) -> Ints:
    prefix = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=prefix[1:])
    return prefix


def last_seen(
    edges: Edges, codes: Ints, moments: Ints, *, present: NDArray[np.bool_]
) -> tuple[Ints, NDArray[np.bool_]]:
    """Latest of `moments` among the events visible before as_of and present, and whether there is one.

    Positions in the order by (code, moment) are monotone within a code, so a running maximum of positions over the
    order of entry is the running latest moment; a position before the code's own first belongs to another code.
    """
    axis = make_axis(moments, codes=int(codes.max()) + 1 if len(codes) else 1)
    by_moment = sort_order(axis.place(codes, moments))
    position = np.empty(len(codes), dtype=np.int64)
    position[by_moment] = np.arange(len(codes))
    position[~present] = -1
    running = np.concatenate([[-1], np.maximum.accumulate(position[edges.entering])])
    best = running[edges.high]
    found = (best >= edges.start) & (edges.high > edges.start)
    if not len(moments):
        return np.zeros(len(best), dtype=np.int64), found
    return moments[by_moment[np.where(found, best, 0)]], found


def first_seen(codes: Ints, moments: Ints, *, n_codes: int) -> Ints:
    """Smallest moment of each code 0 .. n_codes - 1; the largest int64 where a code has none."""
    earliest = np.full(n_codes, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(earliest, codes, moments)
    return earliest
