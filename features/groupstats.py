"""One group's feature columns for the rows of one partition: tiles and rows in, Arrow columns out. No Spark here.

Null rules are S17 to S21: an unknown key or a null segment leaves the whole group null; for a known key counts and sums
are 0, whatever needs an event or a denominator and has none is null, and a smoothed rate is then the population's.
"""

import numpy as np
import pyarrow as pa

from features.aggregates import compute
from features.axis import Ints
from features.codes import codes_of, distinct_pairs, no_state, no_tiles, with_segment
from features.plan import GroupPlan
from features.state import base_of
from features.statistics import Bools, Statistics, ints
from features.windows import first_seen

__all__ = ["Columns", "group_columns"]


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
        tiles = tiles if tiles is not None else no_tiles(plan, rows)
        self.population = population if population is not None else no_tiles(plan, rows)
        state = state if state is not None else no_state(plan, rows)
        self.population_state = population_state if population_state is not None else state.slice(0, 0)
        (keys, state_keys, self.row_keys), self.n_keys = codes_of(tiles["key"], state["key"], rows[plan.key])
        (segments, state_segments, self.row_segments), self.n_segments = self._segments(tiles, state)
        self.known_at = first_seen(
            np.concatenate([keys, state_keys]),
            np.concatenate([ints(t["known_ts"]) // plan.tick for t in (tiles, state)]),
            n_codes=self.n_keys + 1,
        )
        self.tiles, self.keys, self.segments = with_segment(tiles, keys, segments)
        self.state, self.state_keys, self.state_segments = with_segment(state, state_keys, state_segments)

    def _segments(self, tiles: pa.Table, state: pa.Table) -> tuple[list[Ints], int]:
        if self.plan.segment is None:
            return [np.zeros(t.num_rows, np.int64) for t in (tiles, state, self.rows)], 1
        return codes_of(tiles["segment"], state["segment"], self.rows[self.plan.segment])

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
        distinct, moments, back = distinct_pairs(asked, self.as_of)
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
            (codes, state_codes, asked), n_codes = codes_of(*columns)
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
