"""One group's feature columns for the rows of one partition: tiles and rows in, Arrow columns out. No Spark here.

Null rules are S17 to S21: an unknown key or a null segment leaves the whole group null; for a known key counts and sums
are 0, means and plain rates without denominator are null, a smoothed rate is then the population's.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.tiles import segment_column
from features.windows import Edges, Ints, first_seen, last_seen, sort_order, window_edges, window_sums
from headrace.config import Group
from headrace.durations import micros

__all__ = ["GroupPlan", "group_columns", "make_plan", "population_tag"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
MICROUNITS = 1e6


@dataclass(frozen=True)
class GroupPlan:
    """What a task needs to know of one group; small and picklable.

    Attributes
    ----------
    name, key, segment, as_of : str
        Group, and the row columns that hold its key, segment value (None without) and as_of in microseconds.
    tick : int
        Microseconds of one tile; 1 with refresh 0.
    widths : list of int
        Window lengths in ticks.
    """

    name: str
    group: Group
    key: str
    segment: str | None
    as_of: str
    tick: int
    widths: tuple[int, ...]

    @property
    def population_metrics(self) -> list[str]:
        """Counts that the priors of smoothed rates need."""
        smoothed = [r for r in self.group.rates if r.strength is not None]
        return sorted({side for r in smoothed for side in (r.numerator, r.denominator)})


def make_plan(name: str, group: Group, *, tile_micros: int, as_of: str) -> GroupPlan:
    """Plan of one group; `as_of` names the row column that holds its moment."""
    segment = None if group.segment is None else segment_column(group)
    tick = tile_micros
    widths = tuple(micros(w) // tick for w in group.windows)
    return GroupPlan(name, group, f"{group.entity}_id", segment, as_of, tick, widths)


def population_tag(plan: GroupPlan) -> str:
    """Tag under which a group's population travels beside its tiles."""
    return f"{plan.name}/population"


@dataclass(frozen=True)
class _Queries:
    """Distinct (code, as_of) of the rows, sorted, and how to get back to the rows."""

    codes: Ints
    as_of: Ints
    back: Ints


def group_columns(
    plan: GroupPlan, rows: pa.Table, *, tiles: pa.Table | None, population: pa.Table | None
) -> tuple[list[pa.Array], Bools]:
    """Feature columns of `plan` in the order of headrace.config.columns, and which rows' keys are known.

    Parameters
    ----------
    rows : table with plan.key, plan.segment, plan.as_of
    tiles : table or None
        Columns of `tiles_<group>` with times as int64 microseconds; all tiles of the keys in `rows`.
    population : table or None
        The same additive columns summed over all keys, for priors.
    """
    count = rows.num_rows
    as_of = _ints(rows.column(plan.as_of)) // plan.tick
    tiles = tiles if tiles is not None else _no_tiles(plan, rows)
    keys, row_keys, n_keys = _codes(tiles.column("key"), rows.column(plan.key))
    known_at = first_seen(keys, _ints(tiles.column("known_ts")) // plan.tick, n_codes=n_keys + 1)
    known = (row_keys >= 0) & (known_at[row_keys] < as_of)
    segments, row_segments, n_segments = _segment_codes(plan, tiles, rows)
    known &= row_segments >= 0
    counted = segments >= 0
    if not counted.all():
        tiles, keys, segments = tiles.filter(pa.array(counted)), keys[counted], segments[counted]
    queries = _distinct(np.where(known, row_keys * n_segments + row_segments, 0), as_of)
    codes = keys * n_segments + segments
    edges = _edges(plan, tiles, codes, queries=queries, n_codes=n_keys * n_segments)
    priors = _priors(plan, population, rows=rows, as_of=as_of)
    columns = _Columns(plan, tiles, edges, queries, known, priors)
    arrays = columns.additive() + columns.recency(codes)
    assert all(len(a) == count for a in arrays)
    return arrays, known


def _ints(column: pa.ChunkedArray) -> Ints:
    if column.null_count:  # NaN on the way to int64 would be a number nobody measured
        raise ValueError(f"tiles: found {column.null_count} nulls where none may be, wanted tiles of one configuration")
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _no_tiles(plan: GroupPlan, rows: pa.Table) -> pa.Table:
    """An empty tile table, for a partition that no event reached."""
    integers = ["event_hour", "visible_hour", "known_ts"]
    integers += [f"{m}_count" for m in plan.group.counted] + [f"{m}_sum" for m in plan.group.summed]
    integers += [f"{m}_last_ts" for m in plan.group.recency]
    fields = [("key", pa.int64())] + [(name, pa.int64()) for name in integers]
    if plan.segment is not None:
        fields.append(("segment", rows.schema.field(plan.segment).type))
    return pa.schema(fields).empty_table()


def _codes(left: pa.ChunkedArray, right: pa.ChunkedArray) -> tuple[Ints, Ints, int]:
    """Codes 0, 1, ... shared by both columns, -1 for null; and how many there are (at least 1)."""
    both = pa.chunked_array([*left.chunks, *right.cast(left.type).chunks], type=left.type)
    encoded = both.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return indices[: len(left)], indices[len(left) :], max(len(encoded.dictionary), 1)


def _segment_codes(plan: GroupPlan, tiles: pa.Table, rows: pa.Table) -> tuple[Ints, Ints, int]:
    if plan.segment is None:
        return np.zeros(tiles.num_rows, np.int64), np.zeros(rows.num_rows, np.int64), 1
    return _codes(tiles.column("segment"), rows.column(plan.segment))


def _distinct(codes: Ints, as_of: Ints) -> _Queries:
    """Rows that ask for the same key at the same moment are answered once."""
    low = int(as_of.min()) if len(as_of) else 0
    span = int(as_of.max()) - low + 1 if len(as_of) else 1
    if (span * (int(codes.max()) + 1 if len(codes) else 1)).bit_length() > 62:
        return _Queries(codes, as_of, np.arange(len(codes)))
    packed = codes * span + (as_of - low)
    order = sort_order(packed)
    arranged = packed[order]
    fresh = np.ones(len(arranged), dtype=bool)
    fresh[1:] = arranged[1:] != arranged[:-1]
    back = np.empty(len(codes), dtype=np.int64)
    back[order] = np.cumsum(fresh) - 1
    kept = arranged[fresh]
    return _Queries(kept // span, kept % span + low, back)


def _edges(plan: GroupPlan, tiles: pa.Table, codes: Ints, *, queries: _Queries, n_codes: int) -> Edges:
    return window_edges(
        codes,
        _ints(tiles.column("event_hour")) // plan.tick,
        _ints(tiles.column("visible_hour")) // plan.tick,
        query_codes=queries.codes,
        as_of=queries.as_of,
        widths=list(plan.widths),
        n_codes=n_codes,
    )


def _priors(
    plan: GroupPlan, population: pa.Table | None, *, rows: pa.Table, as_of: Ints
) -> dict[tuple[str, int], Ints]:
    """(metric, window) -> the population's count for every row: same segment value, same window, same moment."""
    if not plan.population_metrics:
        return {}
    population = population if population is not None else _no_tiles(plan, rows)
    segments, row_segments, n_segments = _segment_codes(plan, population, rows)
    queries = _distinct(np.where(row_segments >= 0, row_segments, 0), as_of)
    edges = _edges(plan, population, segments, queries=queries, n_codes=n_segments)
    return {
        (m, w): window_sums(edges, _ints(population.column(f"{m}_count")), window=w)[queries.back]
        for m in plan.population_metrics
        for w in range(len(plan.widths))
    }


class _Columns:
    """The columns of one group, from its edges; sums are computed once and shared by counts, means and rates."""

    def __init__(
        self,
        plan: GroupPlan,
        tiles: pa.Table,
        edges: Edges,
        queries: _Queries,
        known: Bools,
        priors: dict[tuple[str, int], Ints],
    ) -> None:
        self.plan, self.tiles, self.edges, self.queries = plan, tiles, edges, queries
        self.known, self.priors = known, priors
        self.sums: dict[tuple[str, int], Ints] = {}

    def total(self, column: str, window: int) -> Ints:
        """Window sum of a tile column, one value a distinct query."""
        if (column, window) not in self.sums:
            values = _ints(self.tiles.column(column))
            self.sums[column, window] = window_sums(self.edges, values, window=window)
        return self.sums[column, window]

    def additive(self) -> list[pa.Array]:
        group, windows = self.plan.group, range(len(self.plan.widths))
        arrays = [self._rows(self.total(f"{m}_count", w)) for m in group.count for w in windows]
        arrays += [self._rows(self.total(f"{m}_sum", w) / MICROUNITS) for m in group.sum for w in windows]
        for m in group.mean:
            arrays += [
                self._ratio(self.total(f"{m}_sum", w) / MICROUNITS, self.total(f"{m}_count", w)) for w in windows
            ]
        for rate in group.rates:
            for w in windows:
                top, bottom = self.total(f"{rate.numerator}_count", w), self.total(f"{rate.denominator}_count", w)
                if rate.strength is None:
                    arrays.append(self._ratio(top.astype(np.float64), bottom))
                else:
                    prior = (self.priors[rate.numerator, w], self.priors[rate.denominator, w])
                    arrays.append(self._smoothed(top, bottom, prior=prior, strength=rate.strength))
        return arrays

    def recency(self, codes: Ints) -> list[pa.Array]:
        arrays = []
        for m in self.plan.group.recency:
            column = self.tiles.column(f"{m}_last_ts")
            present = np.asarray(pc.is_valid(column).to_numpy())
            last, found = last_seen(self.edges, codes, _ints(pc.fill_null(column, 0)), present=present)
            seconds = (self.queries.as_of * self.plan.tick - last) / 1e6
            arrays.append(self._rows(seconds, valid=found))
        return arrays

    def _ratio(self, top: Floats, bottom: Ints) -> pa.Array:
        return self._rows(top / np.maximum(bottom, 1), valid=bottom > 0)

    def _smoothed(self, top: Ints, bottom: Ints, *, prior: tuple[Ints, Ints], strength: float) -> pa.Array:
        """(numerator + k * prior) / (denominator + k), docs/design.md section 5; null where the population is empty."""
        rate = prior[0] / np.maximum(prior[1], 1)
        values = (top[self.queries.back] + strength * rate) / (bottom[self.queries.back] + strength)
        return pa.array(values, mask=~(self.known & (prior[1] > 0)))

    def _rows(self, values: NDArray[np.generic], *, valid: Bools | None = None) -> pa.Array:
        """From distinct queries to rows; unknown keys become null."""
        shown = self.known if valid is None else self.known & valid[self.queries.back]
        return pa.array(values[self.queries.back], mask=~shown)
