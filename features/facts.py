"""The facts of tiles (headrace.config.Measure): what an event gives, and how partial facts come together.

An event is lifted to the facts of a tile of its own; facts of one tile add up, or keep the smaller or larger, or unite
their lists. All of that is associative and commutative, so that it can be done before and after the shuffle, in any
order. Arrow and numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.axis import Ints, run_starts
from features.sketches import bucket_of, hashes_of
from headrace.config import Measure
from headrace.exchange import one_array

__all__ = [
    "Facts",
    "Ragged",
    "lift",
    "ragged_of",
    "ranked",
    "unite",
]

_LIMB_BITS = 18
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Ragged:
    """Lists of all rows end to end: the row each entry belongs to, ascending, and columns beside it."""

    rows: Ints
    columns: tuple[pa.Array, ...]


Facts: TypeAlias = "pa.Array | Ragged | tuple[pa.Array, ...]"


def lift(events: pa.Table, measure: Measure, *, matches: Ints, units: Ints, moments: Ints) -> Facts:
    """The fact of each event as a tile of its own.

    Parameters
    ----------
    events : table with the column that a list keeps
    matches : 1 where the event belongs to the metric, else 0
    """
    operation, source = measure.operation, measure.source
    if operation == "add":
        return pa.array(matches if source == "one" else matches * _additive(units, source))
    absent = matches == 0
    if operation in ("least", "greatest"):
        return pa.array(moments if source == "moment" else units, mask=absent)
    if operation in ("first", "last"):
        return pa.array(moments, mask=absent), pa.array(units, mask=absent)
    rows = np.flatnonzero(~absent)
    values = (
        pa.array(bucket_of(units[rows]))
        if source == "bucket"
        else one_array(events.column(source)).take(pa.array(rows))
    )
    present = np.asarray(values.is_valid())
    rows, values = rows[present], values.filter(pa.array(present))
    if operation == "tally":
        return Ragged(rows, (values, pa.array(np.ones(len(rows), np.int64))))
    if operation == "hashes":
        return Ragged(rows, (pa.array(hashes_of(values)),))
    return Ragged(rows, (values, pa.array(moments[rows])))


def _additive(units: Ints, source: str) -> Ints:
    return units if source == "units" else _square_limb(units, int(source.removeprefix("limb")))


def _square_limb(units: Ints, limb: int) -> Ints:
    """Digit number `limb` of units^2 in base 2^18, not carried: with units < 2^54, sums of 2^25 events fit into int64."""
    mask = (1 << _LIMB_BITS) - 1
    c, b, a = units & mask, units >> _LIMB_BITS & mask, units >> (2 * _LIMB_BITS)
    return (c * c, 2 * b * c, 2 * a * c + b * b, 2 * a * b, a * a)[limb]


def ranked(values: pa.Array) -> tuple[Ints, pa.Array]:
    """Rank of each value among the different ones, and these, ascending."""
    distinct = values.unique()
    distinct = distinct.take(pc.sort_indices(distinct))
    ranks = pc.index_in(values, distinct).cast(pa.int64())
    return np.asarray(ranks, dtype=np.int64), distinct


def ragged_of(lists: Sequence[pa.ChunkedArray]) -> Ragged:
    """List columns of one shape (null is empty) as entries end to end."""
    arrays = [one_array(column) for column in lists]
    rows = pc.list_parent_indices(arrays[0]).cast(pa.int64())
    return Ragged(np.asarray(rows, dtype=np.int64), tuple(pc.list_flatten(array) for array in arrays))


def unite(facts: Facts, measure: Measure, *, order: Ints, starts: Ints) -> dict[str, pa.Array]:
    """Columns of the tiles from facts of their parts.

    Parameters
    ----------
    facts : of N parts
    order : Ints (N,), brings parts of one tile together
    starts : Ints (T,), where each tile begins in `order`
    """
    names = [name for name, _, _ in measure.columns]
    if isinstance(facts, Ragged):
        tile = np.empty(len(order), dtype=np.int64)
        tile[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
        lists = _united_lists(facts, measure, tile[facts.rows], tiles=len(starts))
        return dict(zip(names, lists, strict=True))
    if isinstance(facts, tuple):
        return dict(zip(names, _edge(facts, measure, order=order, starts=starts), strict=True))
    if measure.operation == "add":
        values = np.asarray(facts, dtype=np.int64)
        return {names[0]: pa.array(_reduce(np.add, values[order], starts))}
    sign = 1 if measure.operation == "greatest" else -1
    values = np.where(np.asarray(facts.is_valid()), sign * np.asarray(facts.fill_null(0)), _NEVER)
    best = _reduce(np.maximum, values[order], starts)
    return {names[0]: pa.array(sign * best, mask=best == _NEVER)}


def _reduce(how: np.ufunc, values: Ints, starts: Ints) -> Ints:
    return how.reduceat(values, starts) if len(starts) else np.zeros(0, np.int64)


def _edge(facts: tuple[pa.Array, ...], measure: Measure, *, order: Ints, starts: Ints) -> tuple[pa.Array, pa.Array]:
    """Moment and value at the first or last event of each tile; ties go to the smallest or largest value."""
    sign = 1 if measure.operation == "first" else -1
    valid = np.asarray(facts[0].is_valid())
    moments, values = (np.asarray(f.fill_null(0), dtype=np.int64) for f in facts)
    tile = np.empty(len(order), dtype=np.int64)
    tile[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
    by_time = np.lexsort((sign * values, sign * moments, ~valid, tile))
    best = by_time[starts] if len(starts) else by_time
    absent = ~valid[best]
    return pa.array(moments[best], mask=absent), pa.array(values[best], mask=absent)


def _united_lists(facts: Ragged, measure: Measure, tile: Ints, *, tiles: int) -> list[pa.Array]:
    if measure.operation == "hashes":
        rows, hashes = _first_of_each(tile, np.asarray(facts.columns[0], dtype=np.int64), most=measure.k)
        return [_lists(rows, pa.array(hashes), tiles=tiles)]
    ranks, distinct = ranked(facts.columns[0])
    beside = np.asarray(facts.columns[1].cast(pa.int64()), dtype=np.int64)
    if measure.operation == "tally":
        order = np.lexsort((ranks, tile))
        starts = run_starts(tile[order], ranks[order])
        counts = _reduce(np.add, beside[order], starts)
        rows, kept = tile[order][starts], ranks[order][starts]
    else:
        rows, kept, counts = _newest(tile, ranks, beside, k=measure.k, once=measure.operation == "latest_once")
    values = distinct.take(pa.array(kept))
    return [_lists(rows, values, tiles=tiles), _lists(rows, pa.array(counts), tiles=tiles)]


def _first_of_each(tile: Ints, values: Ints, *, most: int) -> tuple[Ints, Ints]:
    """The smallest `most` different values of each tile."""
    order = np.lexsort((values, tile))
    kept = order[run_starts(tile[order], values[order])]
    place = _places(tile[kept])
    kept = kept[place < most]
    return tile[kept], values[kept]


def _newest(tile: Ints, ranks: Ints, moments: Ints, *, k: int, once: bool) -> tuple[Ints, Ints, Ints]:
    """The k newest entries of each tile, newest first, ties by the larger value; each value once if wanted."""
    if once:
        by_value = np.lexsort((-moments, ranks, tile))
        by_value = by_value[run_starts(tile[by_value], ranks[by_value])]
        tile, ranks, moments = tile[by_value], ranks[by_value], moments[by_value]
    order = np.lexsort((-ranks, -moments, tile))
    order = order[_places(tile[order]) < k]
    return tile[order], ranks[order], moments[order]


def _places(sorted_rows: Ints) -> Ints:
    """0, 1, 2, ... within each run of equal rows."""
    starts = run_starts(sorted_rows)
    return np.arange(len(sorted_rows)) - np.repeat(starts, np.diff(np.append(starts, len(sorted_rows))))


def _lists(rows: Ints, values: pa.Array, *, tiles: int) -> pa.Array:
    """One list per tile, empty where a tile has no entry."""
    offsets = np.searchsorted(rows, np.arange(tiles + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
