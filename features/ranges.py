"""What no prefix sum can answer: extremes and whole contents of windows, still without a loop over rows.

Points are values with a key code, an event time and a visible time, sorted by (code, event). The points of a window are
a contiguous run of them, minus those not yet visible. Times are integers of any unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.axis import Ints, make_axis, sort_order
from features.windows import Span

__all__ = ["Points", "Queries", "extremes", "make_points", "newest", "window_contents"]

_CHUNK = 1 << 22  # pairs (query, point) held at once
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Queries:
    """Moments asked about: codes and as_of, Ints (Q,)."""

    codes: Ints
    as_of: Ints


@dataclass(frozen=True)
class Points:
    """Values of events, sorted by (code, event, rank).

    Attributes
    ----------
    codes, event, visible, ranks : Ints (P,)
        `ranks` orders values, and stands for them.
    weights : Ints (P,)
        How many events a point stands for.
    """

    codes: Ints
    event: Ints
    visible: Ints
    ranks: Ints
    weights: Ints

    def kept(self, chosen: Bools) -> "Points":
        """Only some of the points."""
        return Points(*(a[chosen] for a in (self.codes, self.event, self.visible, self.ranks, self.weights)))


def make_points(codes: Ints, event: Ints, visible: Ints, ranks: Ints, weights: Ints | None = None) -> Points:
    """Sort points."""
    order = np.lexsort((ranks, event, codes))
    counted = np.ones(len(codes), np.int64) if weights is None else weights[order]
    return Points(codes[order], event[order], visible[order], ranks[order], counted)


def _runs(points: Points, queries: Queries, span: Span) -> tuple[Ints, Ints]:
    """First and last + 1 position of the points whose event lies in the window, visible or not."""
    codes = max(int(a.max()) if len(a) else 0 for a in (points.codes, queries.codes)) + 1
    axis = make_axis(points.event, codes=codes)
    placed = axis.place(points.codes, points.event)
    high = np.searchsorted(placed, axis.place(queries.codes, queries.as_of - span.ends), side="left")
    if span.length is None:
        return np.searchsorted(placed, queries.codes * axis.span, side="left"), high
    start = queries.as_of - span.ends - span.length
    return np.searchsorted(placed, axis.place(queries.codes, start), side="left"), high


def window_contents(points: Points, queries: Queries, span: Span) -> Iterator[tuple[Ints, Ints]]:
    """Pairs (query, point) of every point that counts for a query, a bounded number at once, each query's together.

    Complexity: linear in the pairs. A query with more points than a chunk holds is a chunk of its own.
    """
    low, high = _runs(points, queries, span)
    sizes = np.maximum(high - low, 0)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    first = 0
    while first < len(sizes):
        last = max(int(np.searchsorted(bounds, bounds[first] + _CHUNK, side="right")) - 1, first + 1)
        query = np.repeat(np.arange(first, last), sizes[first:last])
        point = np.arange(len(query)) - np.repeat(
            bounds[first:last] - bounds[first] - low[first:last], sizes[first:last]
        )
        seen = points.visible[point] < queries.as_of[query]
        yield (query, point) if seen.all() else (query[seen], point[seen])
        first = last


def extremes(points: Points, queries: Queries, span: Span, *, largest: bool) -> tuple[Ints, Bools]:
    """Largest (or smallest) rank in the window of each query, and whether there is any.

    Points visible at once are answered from runs by doubling (Bender and Farach-Colton 2000): O((P + Q) log P). Late
    ones are looked at one by one.
    """
    prompt = points.visible == points.event
    sign = 1 if largest else -1
    best, found = _run_extremes(points.kept(prompt), queries, span, sign=sign)
    if not prompt.all():
        late = points.kept(~prompt)
        for query, point in window_contents(late, queries, span):
            np.maximum.at(best, query, sign * late.ranks[point])
            found[query] = True
    return sign * best, found


def _run_extremes(points: Points, queries: Queries, span: Span, *, sign: int) -> tuple[Ints, Bools]:
    low, high = _runs(points, queries, span)
    found = high > low
    best = np.full(len(low), np.iinfo(np.int64).min + 1, dtype=np.int64)
    size = np.where(found, high - low, 1)
    level = np.floor(np.log2(size)).astype(np.int64)
    table = sign * points.ranks
    for k in range(int(level.max()) + 1 if found.any() else 0):
        here = found & (level == k)
        best[here] = np.maximum(table[low[here]], table[high[here] - (1 << k)])
        table = np.maximum(table[: -(1 << k)], table[1 << k :])
    return best, found


def newest(points: Points, queries: Queries, *, k: int, distinct: bool) -> tuple[Ints, Ints]:
    """Up to k newest visible points before as_of of each query: pairs (query, point), newest first within a query.

    Complexity: one vectorised step back per point taken, not yet visible, or (with `distinct`) met before.
    """
    start, at = _runs(points, queries, Span(0, None))
    taken: list[tuple[Ints, Ints]] = []
    held = np.full((len(at), k if distinct else 0), -1, dtype=np.int64)
    count = np.zeros(len(at), dtype=np.int64)
    active = np.flatnonzero(at > start)
    while len(active):
        at[active] -= 1
        point = at[active]
        good = points.visible[point] < queries.as_of[active]
        if distinct:
            good &= ~(held[active] == points.ranks[point][:, None]).any(axis=1)
        chosen = active[good]
        taken.append((chosen, point[good]))
        if distinct:
            held[chosen, count[chosen]] = points.ranks[point[good]]
        count[chosen] += 1
        active = active[(at[active] > start[active]) & (count[active] < k)]
    if not taken:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    query, point = (np.concatenate(side) for side in zip(*taken, strict=True))
    order = sort_order(query)  # stable: newest first stays first
    return query[order], point[order]
