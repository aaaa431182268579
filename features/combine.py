"""Events of one batch to partial tiles, and partial tiles to whole ones: numpy inside a task, no Spark here.

A tile is one row per key (x segment) x event tick x visible tick x landing day (S24). Partial tiles of the same grain
add up (counts, sums), or keep the smaller (first visible) or larger (last event) moment, so that they can be combined
before and after the shuffle, in any order. What a tile holds beside its grain stands in features/facts.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.axis import Ints, run_starts, sort_order
from features.facts import Facts, lift, ragged_of, unite
from headrace.config import Measure
from headrace.errors import InputError

__all__ = ["EVENT_COLUMNS", "TileSpec", "combine_events", "merge_tiles"]

EVENT_COLUMNS = ("event_us", "arrival_us", "own_us", "matches", "units", "ds_number")
_TICKS = ("event_hour", "visible_hour")
_DENSE = 1 << 28  # a range of integers this small is its own code
_LIMIT = 62  # bits of a packed grain that leave room for the sign


@dataclass(frozen=True)
class TileSpec:
    """What a task needs to know to make one group's tiles; small and picklable.

    Attributes
    ----------
    name, key, segment : str
        The group, and the event columns with its key and its segment value (None without one).
    tick_us, delay_us : int
        Microseconds of a tile, 1 with refresh 0; and of the group's delay.
    measures : tuple of Measure
        What a tile holds.
    bits : metric -> bit
        An event belongs to a metric iff that bit of its `matches` is set.
    most_segments : number of segment values that a batch or a partition may hold
    """

    name: str
    key: str
    segment: str | None
    tick_us: int
    delay_us: int
    measures: tuple[Measure, ...]
    bits: dict[str, int]
    most_segments: int = 100_000

    @property
    def grain(self) -> list[str]:
        """Columns that name a tile."""
        return ["key", *(["segment"] if self.segment else []), "event_hour", "visible_hour", "ds_number"]

    @property
    def counts(self) -> list[str]:
        """Columns that count events."""
        return [m.column for m in self.measures if m.source == "one"]

    @property
    def kept(self) -> list[str]:
        """Columns of the log that lists keep."""
        return sorted({m.source for m in self.measures if m.columns[0][1].startswith("array") and m.source != "bucket"})


def combine_events(events: pa.Table, spec: TileSpec) -> pa.Table:
    """Partial tiles of a batch of events.

    Parameters
    ----------
    events : table with `spec.key`, `spec.segment`, `spec.kept` and EVENT_COLUMNS
        `matches`: one bit per metric; `units`: the value in microunits, 0 without one; `own_us`: arrival of the row
        itself, where `arrival_us` may be that of a later row it needs (S12, S17). Rows without a key are no tiles.

    Returns
    -------
    table of `spec.grain`, known_ts and the columns of the measures; times int64 microseconds
    """
    events = events.filter(events.column(spec.key).is_valid()) if events.column(spec.key).null_count else events
    event_us, arrival, own = (_ints(events, name) for name in ("event_us", "arrival_us", "own_us"))
    visible = np.maximum(event_us, arrival - spec.delay_us)
    known = np.maximum(event_us, own - spec.delay_us)
    placed: _Columns = {
        "key": events.column(spec.key),
        **({"segment": events.column(spec.segment)} if spec.segment else {}),
        "event_hour": event_us // spec.tick_us,
        "visible_hour": visible // spec.tick_us,
        "ds_number": events.column("ds_number"),
    }
    matches, units = _ints(events, "matches"), _ints(events, "units")

    def facts(measure: Measure) -> Facts:
        chosen = matches >> spec.bits[measure.metric] & 1
        return lift(events, measure, matches=chosen, units=units, moments=event_us)

    return _tiles(placed, known, facts, spec)


def merge_tiles(partial: pa.Table, spec: TileSpec) -> pa.Table:
    """Whole tiles from partial ones: the same columns, one row per grain."""
    placed: _Columns = {name: partial.column(name) for name in spec.grain}
    placed |= {name: _ints(partial, name) // spec.tick_us for name in _TICKS}

    def facts(measure: Measure) -> Facts:
        columns = [partial.column(name) for name, _, _ in measure.columns]
        if pa.types.is_list(columns[0].type):
            return ragged_of(columns)
        single = [column.combine_chunks() for column in columns]
        return single[0] if len(single) == 1 else tuple(single)

    return _tiles(placed, _ints(partial, "known_ts"), facts, spec)


def _check_segments(column: pa.ChunkedArray | pa.Array, spec: TileSpec) -> None:
    values = pc.count_distinct(column).as_py()
    if values > spec.most_segments:
        raise InputError(
            f"group {spec.name}: segment {spec.segment}",
            found=f"{values} values in one part of the log",
            wanted=f"at most {spec.most_segments} (max_segment_values in features.yaml)",
            remedy="segment by a column of few values, or raise the limit",
        )


def _tiles(placed: "_Columns", known: Ints, facts: Callable[[Measure], Facts], spec: TileSpec) -> pa.Table:
    order, starts = group_rows(placed)
    made = _firsts(placed, order[starts], tick_us=spec.tick_us)
    if spec.segment is not None:
        _check_segments(made["segment"], spec)  # of tiles: they are far fewer than events
    earliest = np.minimum.reduceat(known[order], starts) if len(starts) else known[:0]
    made["known_ts"] = pa.array(earliest)
    for measure in spec.measures:
        made |= unite(facts(measure), measure, order=order, starts=starts)
    return pa.table(made)


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table.column(name).to_numpy(), dtype=np.int64)


_Columns = dict[str, pa.ChunkedArray | Ints]


def _firsts(placed: _Columns, rows: Ints, *, tick_us: int) -> dict[str, pa.ChunkedArray | pa.Array]:
    """The grain's columns at `rows`; ticks become microseconds again."""
    return {
        name: pa.array(column[rows] * tick_us) if isinstance(column, np.ndarray) else column.take(pa.array(rows))
        for name, column in placed.items()
    }


def group_rows(placed: _Columns) -> tuple[Ints, Ints]:
    """Order that brings rows of one grain together, and where each run of them starts."""
    packed, span = np.zeros(len(placed["key"]), dtype=np.int64), 1
    for column in placed.values():
        codes, number = _codes(column)
        if (span * number).bit_length() > _LIMIT:
            packed, span = _compressed(packed)
        if (span * number).bit_length() > _LIMIT:
            codes, number = _compressed(codes)
        packed, span = packed * number + codes, span * number
    order = sort_order(packed)
    arranged = packed[order]
    return order, run_starts(arranged)


def _codes(column: pa.ChunkedArray | Ints) -> tuple[Ints, int]:
    """Small non-negative codes, equal iff the values are, and a number that all are below; null is a value too."""
    if not isinstance(column, np.ndarray) and (column.null_count or not pa.types.is_integer(column.type)):
        return _dictionary_codes(column)
    values = np.asarray(column if isinstance(column, np.ndarray) else column.to_numpy(), dtype=np.int64)
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if high - low < _DENSE:
        return values - low, high - low + 1
    return _dictionary_codes(pa.chunked_array([values]))


def _dictionary_codes(column: pa.ChunkedArray) -> tuple[Ints, int]:
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False) + 1
    return codes, len(encoded.dictionary) + 1


def _compressed(codes: Ints) -> tuple[Ints, int]:
    values, places = np.unique(codes, return_inverse=True)
    return places.astype(np.int64), max(len(values), 1)
