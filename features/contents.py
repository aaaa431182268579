"""Aggregates that look at what lies in a window: distinct values, quantiles, most frequent and newest values."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa

from features.asked import Asked
from features.axis import Ints, run_starts
from features.ranges import newest, window_contents
from features.sketches import bucket_value
from headrace.config import Cell

__all__ = ["distinct", "last_k", "quantile", "top_k"]

_HASHES = 2.0**64
_PARTS = 1_000_000  # of a declared share: whole numbers of such parts times events fit into int64


def _grouped(group: Asked, cell: Cell, values: str, counts: str | None) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(query, rank, events) of every different value in each query's window, sorted, some queries at a time."""
    points, _ = group.own.list_points(values, counts)
    span = group.own.spans[group.number(cell)]
    for query, point in window_contents(points, group.own.queries, span):
        order = np.lexsort((points.ranks[point], query))
        query, rank, events = query[order], points.ranks[point][order], points.weights[point][order]
        starts = run_starts(query, rank)
        if len(starts):
            yield query[starts], rank[starts], np.add.reduceat(events, starts)


def distinct(group: Asked, cell: Cell) -> pa.Array:
    """Different values: exact below k, else (k - 1) / (k-th smallest hash as a share of all), Bar-Yossef et al. 2002."""
    column = f"{cell.metric}_{cell.kept}_hashes_{cell.k}"
    _, hashes = group.own.list_points(column, None)
    counts = np.zeros(len(group.own.queries.as_of), dtype=np.int64)
    for query, rank, _ in _grouped(group, cell, column, None):
        starts = run_starts(query)
        sizes = np.diff(np.append(starts, len(query)))
        counts[query[starts]] = sizes
        full = sizes >= cell.k
        kth = np.asarray(hashes, np.int64)[rank[starts[full] + cell.k - 1]].view(np.uint64) ^ np.uint64(1 << 63)
        counts[query[starts[full]]] = np.rint((cell.k - 1) * _HASHES / (kth.astype(np.float64) + 1)).astype(np.int64)
    return group.rows(counts)


def quantile(group: Asked, cell: Cell) -> pa.Array:
    """The bucket of the value of rank max(ceil(q n), 1) in the window."""
    column = f"{cell.metric}_bucket"
    _, buckets = group.own.list_points(f"{column}_values", f"{column}_counts")
    best = np.full(len(group.own.queries.as_of), -1, dtype=np.int64)
    share = Fraction(str(cell.quantile)).limit_denominator(_PARTS)  # as it is written: 0.55 of 100 is 55, not 56
    for query, rank, events in _grouped(group, cell, f"{column}_values", f"{column}_counts"):
        starts = run_starts(query)
        running = np.cumsum(events)
        before = np.concatenate([[0], running])[starts]
        n = np.add.reduceat(events, starts)
        wanted = before + np.maximum(-(-share.numerator * n // share.denominator), 1)
        best[query[starts]] = rank[np.searchsorted(running, wanted, side="left")]
    found = best >= 0
    shown = bucket_value(np.asarray(buckets, np.int64)[np.where(found, best, 0)]) if len(buckets) else best * 0.0
    return group.rows(shown, valid=found)


def top_k(group: Asked, cell: Cell) -> pa.Array:
    """The k values with most events, ties by the smaller value."""
    column = f"{cell.metric}_{cell.kept}"
    _, distinct = group.own.list_points(f"{column}_values", f"{column}_counts")
    found = [(np.zeros(0, np.int64),) * 3]
    for query, rank, events in _grouped(group, cell, f"{column}_values", f"{column}_counts"):
        order = np.lexsort((rank, -events, query))
        starts = run_starts(query)
        place = np.arange(len(query)) - np.repeat(starts, np.diff(np.append(starts, len(query))))
        order = order[place < cell.k]
        found.append((query[order], rank[order], events[order]))
    query, rank, events = (np.concatenate(side) for side in zip(*found, strict=True))
    return group.lists(query, pa.array(events) if cell.part == "counts" else distinct.take(pa.array(rank)))


def last_k(group: Asked, cell: Cell) -> pa.Array:
    """Values, or moments, of the newest events, newest first."""
    once = "_distinct" if cell.distinct else ""
    column = f"{cell.metric}_last_{cell.k}{once}_{cell.kept}"
    points, distinct, queries = group.own.lasting.moment_points(f"{column}_values", f"{column}_ts")
    query, point = newest(points, queries, k=cell.k, distinct=cell.distinct)
    if cell.part == "times":
        return group.lists(query, pa.array(points.event[point]))
    return group.lists(query, distinct.take(pa.array(points.ranks[point])))
