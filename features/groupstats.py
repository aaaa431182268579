"""One group's feature columns for the rows of one partition: tiles and rows in, Arrow columns out. No Spark here.

Null rules are S17 to S21: an unknown key or a null segment leaves the whole group null; for a known key counts and sums
are 0, whatever needs an event or a denominator and has none is null, and a smoothed rate is then the population's.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.aggregates import compute
from features.state import StateColumns, base_of, state_columns
from features.statistics import Bools, Statistics, ints
from features.tiles import segment_column
from features.windows import Ints, Span, first_seen, sort_order
from headrace.config import Cell, Group, Measure, group_cells, measures_of
from headrace.durations import Window, micros

__all__ = [
    "Columns",
    "GroupPlan",
    "group_columns",
    "make_plan",
    "population_state_tag",
    "population_tag",
    "state_tag",
]


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
    state : what its state holds
    since : tick of the state that rows start from; None: from all tiles
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
    state: StateColumns
    since: int | None = None

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
    measures = tuple(measures_of(cells, types=types))
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
        measures=measures,
        state=state_columns(cells, measures),
    )


def population_tag(plan: GroupPlan) -> str:
    """Tag under which a group's population travels beside its tiles."""
    return f"{plan.name}/population"


def state_tag(plan: GroupPlan) -> str:
    """Tag under which a group's state travels."""
    return f"{plan.name}/state"


def population_state_tag(plan: GroupPlan) -> str:
    """Tag under which the state of a group's population travels."""
    return f"{plan.name}/population/state"


def group_columns(
    plan: GroupPlan, rows: pa.Table, *, tiles: pa.Table | None, population: pa.Table | None,
    state: pa.Table | None = None, population_state: pa.Table | None = None,
) -> tuple[list[pa.Array], Bools]:  # fmt: skip
    """Feature columns of `plan` in the order of its cells, and which rows' keys are known.

    Parameters
    ----------
    rows : table with plan.key, plan.segment, plan.as_of
    tiles : table or None
        Columns of `tiles_<group>` with times as int64 microseconds; all tiles of the keys in `rows`, or with plan.since
        those that enter or leave a window since.
    population : table or None
        The same additive columns summed over all keys, for priors.
    state, population_state : table or None
        With plan.since: rows of `state_<group>` of the keys in `rows`, and their sums over all keys.
    """
    return Columns(plan, rows, tiles, population, state, population_state).computed()


class Columns:
    """One group's tiles and state, coded by key and segment, and the rows that ask."""

    def __init__(
        self, plan: GroupPlan, rows: pa.Table, tiles: pa.Table | None, population: pa.Table | None,
        state: pa.Table | None, population_state: pa.Table | None,
    ) -> None:  # fmt: skip
        self.plan, self.rows = plan, rows
        self.as_of = ints(rows.column(plan.as_of)) // plan.tick
        tiles = tiles if tiles is not None else _no_tiles(plan, rows)
        self.population = population if population is not None else _no_tiles(plan, rows)
        state = state if state is not None else _no_state(plan, rows)
        self.population_state = population_state if population_state is not None else state.slice(0, 0)
        (keys, state_keys, self.row_keys), self.n_keys = _codes(tiles["key"], state["key"], rows[plan.key])
        (segments, state_segments, self.row_segments), self.n_segments = self._segments(tiles, state)
        self.known_at = first_seen(
            np.concatenate([keys, state_keys]),
            np.concatenate([ints(t["known_ts"]) // plan.tick for t in (tiles, state)]),
            n_codes=self.n_keys + 1,
        )
        self.tiles, self.keys, self.segments = _with_segment(tiles, keys, segments)
        self.state, self.state_keys, self.state_segments = _with_segment(state, state_keys, state_segments)

    def _segments(self, tiles: pa.Table, state: pa.Table) -> tuple[list[Ints], int]:
        if self.plan.segment is None:
            return [np.zeros(t.num_rows, np.int64) for t in (tiles, state, self.rows)], 1
        return _codes(tiles["segment"], state["segment"], self.rows[self.plan.segment])

    def computed(self) -> tuple[list[pa.Array], Bools]:
        """The columns, and which rows' keys are known."""
        known = (self.row_keys >= 0) & (self.known_at[self.row_keys] < self.as_of) & (self.row_segments >= 0)
        whole = everyone = None
        if any(cell.aggregate == "share" for cell in self.plan.cells):
            whole = self._over(self.keys, self.state_keys, np.where(known, self.row_keys, 0), n_codes=self.n_keys)
        if self.plan.population_metrics:
            everyone = self._everyone()
        arrays = compute(
            self.plan.cells, self.plan.windows, own=self._own(known), whole=whole, everyone=everyone, known=known
        )
        assert all(len(a) == self.rows.num_rows for a in arrays)
        return arrays, known

    def sums(self) -> dict[str, Ints]:
        """Window sums that a state keeps, one per row; 0 for rows of no segment."""
        belongs = (self.row_keys >= 0) & (self.row_segments >= 0)
        own = self._own(belongs)
        return {
            name: np.where(belongs, own.total(column, self.plan.windows[window])[own.back], 0)
            for (column, window), name in self.plan.state.sums.items()
        }

    def _own(self, known: Bools) -> Statistics:
        asked = np.where(known, self.row_keys * self.n_segments + self.row_segments, 0)
        codes, state_codes = (
            k * self.n_segments + s for k, s in ((self.keys, self.segments), (self.state_keys, self.state_segments))
        )
        lasting = None if self.plan.since is None else self._lasting(codes, state_codes)
        return self._over(codes, state_codes, asked, n_codes=self.n_keys * self.n_segments, lasting=lasting)

    def _over(
        self, codes: Ints, state_codes: Ints, asked: Ints, *, n_codes: int, lasting: tuple[pa.Table, Ints] | None = None
    ) -> Statistics:
        return self._statistics(self.tiles, self.state, codes, state_codes, asked, n_codes, lasting)

    def _statistics(
        self, tiles: pa.Table, state: pa.Table, codes: Ints, state_codes: Ints, asked: Ints, n_codes: int,
        lasting: tuple[pa.Table, Ints] | None = None,
    ) -> Statistics:  # fmt: skip
        plan = self.plan
        distinct, moments, back = _distinct(asked, self.as_of)
        base = None
        if plan.since is not None:
            base = base_of(state, state_codes, plan.state, plan.windows, since=plan.since, n_codes=n_codes)
        return Statistics(
            tiles, codes, distinct, moments, back, plan.tick, plan.spans, n_codes, base=base, lasting=lasting
        )

    def _everyone(self) -> Statistics:
        if self.plan.segment is None:
            codes, state_codes, asked = (
                np.zeros(t.num_rows, np.int64) for t in (self.population, self.population_state, self.rows)
            )
            n_codes = 1
        else:
            columns = (self.population["segment"], self.population_state["segment"], self.rows[self.plan.segment])
            (codes, state_codes, asked), n_codes = _codes(*columns)
        asked = np.where(asked >= 0, asked, 0)
        return self._statistics(self.population, self.population_state, codes, state_codes, asked, n_codes)

    def _lasting(self, codes: Ints, state_codes: Ints) -> tuple[pa.Table, Ints]:
        """State rows as tiles from before `since`, and the tiles that came into sight since."""
        assert self.plan.since is not None
        names = [name for measure in self.plan.state.lasting for name, _, _ in measure.columns]
        new = ints(self.tiles["visible_hour"]) // self.plan.tick >= self.plan.since
        before = pa.array(np.full(self.state.num_rows, (self.plan.since - 1) * self.plan.tick))
        old = self.state.select(names).append_column("event_hour", before).append_column("visible_hour", before)
        recent = self.tiles.select([*names, "event_hour", "visible_hour"]).filter(pa.array(new))
        both = pa.concat_tables([old, recent], promote_options="permissive")
        return both, np.concatenate([state_codes, codes[new]])


def _with_segment(table: pa.Table, keys: Ints, segments: Ints) -> tuple[pa.Table, Ints, Ints]:
    """Rows that belong to a segment (S18)."""
    there = segments >= 0
    return (table, keys, segments) if there.all() else (table.filter(pa.array(there)), keys[there], segments[there])


def _no_state(plan: GroupPlan, rows: pa.Table) -> pa.Table:
    """An empty state."""
    names = {"key", "known_ts", *plan.state.sums.values(), *(["segment"] if plan.segment else [])}
    lasting = {name for measure in plan.state.lasting for name, _, _ in measure.columns}
    tiles = _no_tiles(plan, rows).schema
    kinds = {name: tiles.field(name).type if name in tiles.names else pa.int64() for name in sorted(names | lasting)}
    return pa.schema(kinds).empty_table()


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


def _codes(*columns: pa.ChunkedArray) -> tuple[list[Ints], int]:
    """Codes 0, 1, ... shared by all columns, -1 for null; and how many there are (at least 1)."""
    kind = columns[0].type
    together = pa.chunked_array([c for column in columns for c in column.cast(kind).chunks], type=kind)
    encoded = together.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    bounds = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(indices, bounds), max(len(encoded.dictionary), 1)


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
