"""One group's feature columns for the rows of one partition: tiles and rows in, Arrow columns out. No Spark here.

Null rules are S17 to S21: an unknown key or a null segment leaves the whole group null; for a known key counts and sums
are 0, whatever needs an event or a denominator and has none is null, and a smoothed rate is then the population's.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.aggregates import compute
from features.statistics import Bools, Statistics, ints
from features.tiles import segment_column
from features.windows import Ints, Span, first_seen, sort_order
from headrace.config import Cell, Group, Measure, group_cells, measures_of
from headrace.durations import Window, micros

__all__ = ["GroupPlan", "group_columns", "make_plan", "population_tag"]


@dataclass(frozen=True)
class GroupPlan:
    """What a task needs to know of one group; small and picklable.

    Attributes
    ----------
    name, entity, key, segment, as_of : str
        Group, its entity, and the row columns that hold its key, segment value (None without) and as_of in microseconds.
    tick, tolerance_us : int
        Microseconds of one tile, 1 with refresh 0; and of the age from which a value is stale.
    cells : tuple of Cell
        The columns, in order.
    windows : Window -> its number in `spans`
    spans : the windows in ticks
    measures : what the group's tiles hold
    """

    name: str
    entity: str
    key: str
    segment: str | None
    as_of: str
    tick: int
    tolerance_us: int
    cells: tuple[Cell, ...]
    windows: dict[Window, int]
    spans: tuple[Span, ...]
    measures: tuple[Measure, ...]

    @property
    def population_metrics(self) -> list[str]:
        """Counts that the priors of smoothed rates need."""
        smoothed = [c for c in self.cells if c.aggregate == "rate_smoothed"]
        return sorted({side for c in smoothed for side in (c.metric, c.over)})


def make_plan(name: str, group: Group, *, tile_micros: int, as_of: str, types: dict[str, str]) -> GroupPlan:
    """Plan of one group; `as_of` names the row column that holds its moment, `types` are those of kept columns."""
    cells = tuple(group_cells(group))
    windows = {window: number for number, window in enumerate(group.all_windows)}
    spans = tuple(
        Span(micros(w.ends) // tile_micros, None if w.length is None else micros(w.length) // tile_micros)
        for w in windows
    )
    return GroupPlan(
        name=name,
        entity=group.entity,
        key=f"{group.entity}_id",
        segment=None if group.segment is None else segment_column(group),
        as_of=as_of,
        tick=tile_micros,
        tolerance_us=micros(group.tolerance),
        cells=cells,
        windows=windows,
        spans=spans,
        measures=tuple(measures_of(cells, types=types)),
    )


def population_tag(plan: GroupPlan) -> str:
    """Tag under which a group's population travels beside its tiles."""
    return f"{plan.name}/population"


def group_columns(
    plan: GroupPlan, rows: pa.Table, *, tiles: pa.Table | None, population: pa.Table | None
) -> tuple[list[pa.Array], Bools]:
    """Feature columns of `plan` in the order of its cells, and which rows' keys are known.

    Parameters
    ----------
    rows : table with plan.key, plan.segment, plan.as_of
    tiles : table or None
        Columns of `tiles_<group>` with times as int64 microseconds; all tiles of the keys in `rows`.
    population : table or None
        The same additive columns summed over all keys, for priors.
    """
    as_of = ints(rows.column(plan.as_of)) // plan.tick
    tiles = tiles if tiles is not None else _no_tiles(plan, rows)
    keys, row_keys, n_keys = _codes(tiles.column("key"), rows.column(plan.key))
    known_at = first_seen(keys, ints(tiles.column("known_ts")) // plan.tick, n_codes=n_keys + 1)
    known = (row_keys >= 0) & (known_at[row_keys] < as_of)
    segments, row_segments, n_segments = _segment_codes(plan, tiles, rows)
    known &= row_segments >= 0
    counted = segments >= 0
    if not counted.all():
        tiles, keys, segments = tiles.filter(pa.array(counted)), keys[counted], segments[counted]

    def over(codes: Ints, asked: Ints, *, table: pa.Table, n_codes: int) -> Statistics:
        distinct, moments, back = _distinct(asked, as_of)
        return Statistics(table, codes, distinct, moments, back, plan.tick, plan.spans, n_codes)

    own_codes, own_rows = keys * n_segments + segments, np.where(known, row_keys * n_segments + row_segments, 0)
    own = over(own_codes, own_rows, table=tiles, n_codes=n_keys * n_segments)
    whole = everyone = None
    if any(cell.aggregate == "share" for cell in plan.cells):
        whole = over(keys, np.where(known, row_keys, 0), table=tiles, n_codes=n_keys)
    if plan.population_metrics:
        population = population if population is not None else _no_tiles(plan, rows)
        codes, row_codes, n_codes = _segment_codes(plan, population, rows)
        everyone = over(codes, np.where(row_codes >= 0, row_codes, 0), table=population, n_codes=n_codes)
    arrays = compute(plan.cells, plan.windows, own=own, whole=whole, everyone=everyone, known=known)
    assert all(len(a) == rows.num_rows for a in arrays)
    return arrays, known


def _no_tiles(plan: GroupPlan, rows: pa.Table) -> pa.Table:
    """An empty tile table, for a partition that no event reached."""
    kinds = {"bigint": pa.int64(), "timestamp": pa.int64(), "string": pa.string(), "int": pa.int32()}
    fields = [(name, pa.int64()) for name in ("key", "event_hour", "visible_hour", "known_ts")]
    for name, kind, _ in (c for measure in plan.measures for c in measure.columns):
        inside = kinds[kind.removeprefix("array<").removesuffix(">")]
        fields.append((name, pa.list_(inside) if kind.startswith("array") else inside))
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


def _distinct(codes: Ints, as_of: Ints) -> tuple[Ints, Ints, Ints]:
    """Rows that ask for the same key at the same moment are answered once: distinct pairs, sorted, and the way back."""
    low = int(as_of.min()) if len(as_of) else 0
    span = int(as_of.max()) - low + 1 if len(as_of) else 1
    if (span * (int(codes.max()) + 1 if len(codes) else 1)).bit_length() > 62:
        return codes, as_of, np.arange(len(codes))
    packed = codes * span + (as_of - low)
    order = sort_order(packed)
    arranged = packed[order]
    fresh = np.ones(len(arranged), dtype=bool)
    fresh[1:] = arranged[1:] != arranged[:-1]
    back = np.empty(len(codes), dtype=np.int64)
    back[order] = np.cumsum(fresh) - 1
    kept = arranged[fresh]
    return kept // span, kept % span + low, back
