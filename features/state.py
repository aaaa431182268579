"""What a group knows of every key at one moment, so that the next day reads the tiles that enter and leave since, no more.

A state row is one key (x segment): the sum of every additive column over every window at the moment, and the facts that
no window bounds (known since when, first and last moments, newest values). Exact integers; made from any earlier state,
or from all tiles, with the same result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.axis import Ints
from features.combine import group_rows
from features.facts import ragged_of, unite
from headrace.config import Cell, Measure
from headrace.config.measures import WHOLE_WINDOW, lasting_measures, summed_columns
from headrace.durations import Window

__all__ = ["Base", "StateColumns", "base_of", "state_columns", "united"]


@dataclass(frozen=True)
class StateColumns:
    """What the state of a group holds.

    Attributes
    ----------
    sums : (tile column, window) -> name of the column with its sum
    lasting : measures that no window bounds
    whole : windows of aggregates that cannot be subtracted: their tiles are read in full
    """

    sums: dict[tuple[str, Window], str]
    lasting: tuple[Measure, ...]
    whole: tuple[Window, ...]


@dataclass(frozen=True)
class Base:
    """Sums of one set of codes at the moment `since` (ticks): (tile column, window number) -> Ints (codes,)."""

    since: int
    sums: Mapping[tuple[str, int], Ints]


def state_columns(cells: Sequence[Cell], measures: Sequence[Measure]) -> StateColumns:
    """What a group with these columns has to keep."""
    whole = {cell.window: None for cell in cells if cell.window is not None and cell.aggregate in WHOLE_WINDOW}
    return StateColumns(summed_columns(cells, measures), lasting_measures(measures), tuple(whole))


def united(tables: Sequence[pa.Table], measures: Sequence[Measure], *, by: Sequence[str]) -> pa.Table:
    """Lasting facts and known_ts of several tables of tiles or states, one row per `by`; times as int64 microseconds."""
    wanted = [*by, "known_ts", *(name for m in measures for name, _, _ in m.columns)]
    whole = pa.concat_tables([t.select(wanted) for t in tables], promote_options="permissive")
    order, starts = group_rows({name: whole.column(name) for name in by})
    made = {name: whole.column(name).take(pa.array(order[starts])) for name in by}
    known = np.asarray(whole.column("known_ts").to_numpy(), dtype=np.int64)
    made["known_ts"] = pa.array(np.minimum.reduceat(known[order], starts) if len(starts) else known[:0])
    for measure in measures:
        columns = [whole.column(name) for name, _, _ in measure.columns]
        facts = ragged_of(columns) if pa.types.is_list(columns[0].type) else columns[0].combine_chunks()
        made |= unite(facts, measure, order=order, starts=starts)
    return pa.table(made)


def base_of(
    state: pa.Table, codes: Ints, columns: StateColumns, windows: Mapping[Window, int], *, since: int, n_codes: int
) -> Base:
    """Sums per code of state rows; rows with code -1 belong to none."""
    belongs = codes >= 0
    sums = {}
    for (column, window), name in columns.sums.items():
        if name in state.column_names:
            total = np.zeros(n_codes, dtype=np.int64)
            np.add.at(total, codes[belongs], np.asarray(state.column(name).to_numpy(), dtype=np.int64)[belongs])
            sums[column, windows[window]] = total
    return Base(since, sums)
