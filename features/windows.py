"""Window arithmetic on plain arrays, apart from any engine: sort once, prefix sums, one search per edge.

Two clocks (docs/design.md, section 4). An event enters every window when it becomes visible and leaves the window of
width w when as_of passes event + w, so over the events that ever count

    sum(as_of) = sum of those with visible < as_of  -  sum of those with event < as_of - w

and a window sum is a difference of two prefix sums, each in an order of its own. Events that become visible only after
they left (visible >= event + w) are masked out of both. A window that ends e before as_of is entered at
max(visible, event + e) and left at event + e + w. All arithmetic is in int64; differences of prefixes are exact
modulo 2^64, so a prefix may wrap as long as the window's own sum fits.

Times are integers of any unit (tiles or microseconds); codes are non-negative integers that name a key (x segment).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.axis import Ints, make_axis, sort_order

__all__ = ["Edges", "Entry", "Span", "first_seen", "last_seen", "window_edges", "window_sums"]

_Mask = NDArray[np.bool_] | None


@dataclass(frozen=True)
class Span:
    """A window in ticks: [as_of - ends - length, as_of - ends), or all before as_of - ends without a length."""

    ends: int
    length: int | None


@dataclass(frozen=True)
class Entry:
    """How events come in for windows that end `ends` before as_of.

    Attributes
    ----------
    order : Ints (E,)
        Order of the events by (code, moment of entry = max(visible, event + ends)).
    start, high : Ints (Q,)
        First position of the query's code in `order`, and that of the first event that has not entered at as_of.
    """

    order: Ints
    start: Ints
    high: Ints


@dataclass(frozen=True)
class Edges:
    """Orders of the events and, per query, where its windows end and begin in them.

    Attributes
    ----------
    spans : tuple of Span
    entries : ends -> Entry; 0 is always there
    leaving : Ints (E,)
        Order of the events by (code, event).
    first : Ints (Q,)
        First position of the query's code in `leaving`.
    low : list of Ints (Q,) or None, one per span
        Events with event < as_of - ends - length, as a position in `leaving`; None without a length.
    enters, leaves : lists of bool (E,) or None, one per span
        Events whose entry, and whose leaving, are added up; None where all are.
    """

    spans: tuple[Span, ...]
    entries: dict[int, Entry]
    leaving: Ints
    first: Ints
    low: list[Ints | None]
    enters: list[_Mask]
    leaves: list[_Mask]


def window_edges(
    codes: Ints, event: Ints, visible: Ints, *, query_codes: Ints, as_of: Ints, spans: Sequence[Span], n_codes: int,
    since: int | None = None,
) -> Edges:  # fmt: skip
    """Sort the events and search every window's edges.

    Parameters
    ----------
    codes, event, visible : Ints (E,)
        Key code, event time and visible time of each event; visible >= event.
    query_codes, as_of : Ints (Q,)
        Sorted by (code, as_of) the searches run fastest; any order is right.
    spans : windows in the unit of the times
    n_codes : int
        All codes are below it.
    since : int or None
        Sums are then what entered minus what left from this moment on, to be added to the window's sum at it; no as_of
        is before it, and only events that enter or leave later need to be among the events.
    """
    on_time = bool(np.array_equal(event, visible))
    axis = make_axis(event, codes=n_codes)
    leave = axis.place(codes, event)
    leaving = sort_order(leave)
    leave = leave[leaving]
    starts = np.searchsorted(leave, query_codes * axis.span, side="left")

    def edge(moment: Ints) -> Ints:
        return np.searchsorted(leave, axis.place(query_codes, moment), side="left")

    entries: dict[int, Entry] = {}
    for ends in sorted({0, *(span.ends for span in spans)}):
        if on_time:
            entries[ends] = Entry(leaving, starts, edge(as_of - ends))
        else:
            moment = visible if ends == 0 else np.maximum(visible, event + ends)
            entries[ends] = _entry(codes, moment, query_codes=query_codes, as_of=as_of, n_codes=n_codes)
    low = [None if s.length is None else edge(as_of - s.ends - s.length) for s in spans]
    counting = [_eligible(event, visible, s, on_time) for s in spans]
    if since is None:
        return Edges(tuple(spans), entries, leaving, starts, low, counting, counting)
    enters: list[_Mask] = [
        _both(m, np.maximum(visible, event + s.ends) >= since) for m, s in zip(counting, spans, strict=True)
    ]
    leaves: list[_Mask] = [
        _both(m, event + s.ends + (s.length or 0) >= since) for m, s in zip(counting, spans, strict=True)
    ]
    return Edges(tuple(spans), entries, leaving, starts, low, enters, leaves)


def _both(mask: _Mask, later: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return later if mask is None else mask & later


def _entry(codes: Ints, moment: Ints, *, query_codes: Ints, as_of: Ints, n_codes: int) -> Entry:
    axis = make_axis(moment, codes=n_codes)
    placed = axis.place(codes, moment)
    order = sort_order(placed)
    placed = placed[order]
    start = np.searchsorted(placed, query_codes * axis.span, side="left")
    return Entry(order, start, np.searchsorted(placed, axis.place(query_codes, as_of), side="left"))


def _eligible(event: Ints, visible: Ints, span: Span, on_time: bool) -> NDArray[np.bool_] | None:
    if on_time or span.length is None:
        return None
    counts = visible < event + (span.ends + span.length)
    return None if bool(counts.all()) else counts


def window_sums(edges: Edges, values: Ints, *, window: int) -> Ints:
    """Sum of `values` (E,) over span number `window` of each query: Ints (Q,)."""
    low, enters, leaves = edges.low[window], edges.enters[window], edges.leaves[window]
    entry = edges.entries[edges.spans[window].ends]
    entered = _prefix(_counted(values, enters)[entry.order])
    if low is None:
        return entered[entry.high] - entered[entry.start]
    same_events = enters is leaves
    left = entered if same_events and edges.leaving is entry.order else _prefix(_counted(values, leaves)[edges.leaving])
    if same_events:  # both prefixes hold the same events of all codes before
        return entered[entry.high] - left[low]
    return (entered[entry.high] - entered[entry.start]) - (left[low] - left[edges.first])


def _counted(values: Ints, mask: _Mask) -> Ints:
    return values if mask is None else np.where(mask, values, 0)


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
    entry = edges.entries[0]
    axis = make_axis(moments, codes=int(codes.max()) + 1 if len(codes) else 1)
    by_moment = sort_order(axis.place(codes, moments))
    position = np.empty(len(codes), dtype=np.int64)
    position[by_moment] = np.arange(len(codes))
    position[~present] = -1
    running = np.concatenate([[-1], np.maximum.accumulate(position[entry.order])])
    best = running[entry.high]
    found = (best >= entry.start) & (entry.high > entry.start)
    if not len(moments):
        return np.zeros(len(best), dtype=np.int64), found
    return moments[by_moment[np.where(found, best, 0)]], found


def first_seen(codes: Ints, moments: Ints, *, n_codes: int) -> Ints:
    """Smallest moment of each code 0 .. n_codes - 1; the largest int64 where a code has none."""
    earliest = np.full(n_codes, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(earliest, codes, moments)
    return earliest
