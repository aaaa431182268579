"""Tiles of an entity's groups from their files to the exchange: by key for statistics, summed over keys for priors."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from features.plan import GroupPlan, population_state_tag, population_tag, state_tag
from headrace.arrowfiles import FileTasks, OpenPart, Piece, open_parts
from headrace.exchange import PACKED_SCHEMA, Hot, exchange, pack, packer, unpack
from headrace.workers import map_in_arrow

__all__ = ["packed_populations", "packed_state_files", "packed_tile_files"]

_Batches = Iterable[pa.RecordBatch]
_HOURS = ("event_hour", "visible_hour")


def packed_tile_files(
    tasks: FileTasks, plans: Sequence[GroupPlan], *, partitions: int, hot: Hot | None = None
) -> DataFrame:
    """Tiles of several groups of one entity, packed by key under their group's name.

    Parameters
    ----------
    tasks : `headrace.arrowfiles.file_tasks` over files of `tiles_<group>`, tagged with the group
    hot : hot keys of the entity (features.skew): their tiles go to every partition that has rows of them
    """
    columns = {plan.name: _tile_columns(plan) for plan in plans}
    pieces = tasks.pieces

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for name, tables in _by_group(batches, pieces, columns):
            send = packer(key="key", tag=name, partitions=partitions, hot=hot, copies=True)
            yield from send(batch for table in tables for batch in table.to_batches())

    return map_in_arrow(tasks.frame, run, PACKED_SCHEMA)


def packed_state_files(
    tasks: FileTasks, plans: Sequence[GroupPlan], *, partitions: int, hot: Hot | None = None
) -> DataFrame:
    """Rows of `state_<group>` of several groups of one entity by key, and of smoothed rates the sums over all keys.

    Parameters
    ----------
    tasks : `headrace.arrowfiles.file_tasks` over files of one day's `state_<group>`, tagged with the group
    """
    by_name, pieces = {plan.name: plan for plan in plans}, tasks.pieces
    columns = {plan.name: _state_columns(plan) for plan in plans}

    def run(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for name, tables in _by_group(batches, pieces, columns):
            plan = by_name[name]
            send = packer(key="key", tag=state_tag(plan), partitions=partitions, hot=hot, copies=True)
            for table in tables:
                yield from send(table.to_batches())
                if plan.population_metrics:
                    sums = _state_sums(table, plan)
                    yield from pack(sums, key=None, tag=population_state_tag(plan), partitions=partitions)

    return map_in_arrow(tasks.frame, run, PACKED_SCHEMA)


def _state_columns(plan: GroupPlan) -> list[str]:
    lasting = [name for measure in plan.state.lasting for name, _, _ in measure.columns]
    return ["key", *(["segment"] if plan.segment else []), "known_ts", *lasting, *plan.state.sums.values()]


def _state_sums(table: pa.Table, plan: GroupPlan) -> pa.Table:
    """Sums over all keys, per segment value; with known_ts, lists and moments left out."""
    if plan.segment is None:
        table = table.append_column("segment", pa.array(np.zeros(table.num_rows, np.int8)))
    table = table.filter(table.column("segment").is_valid())
    names = list(plan.state.sums.values())
    sums = table.group_by(["segment"], use_threads=False).aggregate([(n, "sum") for n in names])
    return sums.rename_columns([n.removesuffix("_sum") if n != "segment" else n for n in sums.column_names])


def packed_populations(tasks: FileTasks, plans: Sequence[GroupPlan], *, partitions: int) -> DataFrame:
    """Counts of each group over all keys, for priors (S20): summed in each task, then in one, then sent everywhere.

    Rows whose segment is null belong to no population. The result has one row per segment x event_hour x visible_hour.
    """
    columns = {plan.name: [*_population_grain(plan), *_counts(plan)] for plan in plans}
    by_name, pieces = {plan.name: plan for plan in plans}, tasks.pieces

    def partial(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for name, tables in _by_group(batches, pieces, columns):
            sums = [_summed(table, by_name[name]) for table in tables]
            if sums:
                whole = _summed(pa.concat_tables(sums), by_name[name])
                yield from pack(whole, key=None, tag=name, partitions=1)

    def whole(batches: _Batches) -> Iterator[pa.RecordBatch]:
        for name, table in unpack(batches).items():
            plan = by_name[name]
            yield from pack(_summed(table, plan), key=None, tag=population_tag(plan), partitions=partitions)

    met = exchange([map_in_arrow(tasks.frame, partial, PACKED_SCHEMA)], partitions=1)
    return map_in_arrow(met, whole, PACKED_SCHEMA)


def _by_group(
    batches: _Batches, pieces: Sequence[Sequence[Piece]], columns: dict[str, list[str]]
) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """The tables of each group that this task reads, times as int64 microseconds."""
    for name, parts in groupby(open_parts(batches, pieces), key=lambda part: part.tag):
        yield name, _tables(parts, columns[name])


def _tables(parts: Iterable[OpenPart], columns: list[str]) -> Iterator[pa.Table]:
    for part in parts:
        for table in part.tables(columns):
            yield pa.table([_as_integers(c) for c in table.columns], names=table.column_names)


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.int64())
    if pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type):
        return column.cast(pa.list_(pa.int64()))
    return column


def _summed(table: pa.Table, plan: GroupPlan) -> pa.Table:
    if plan.segment is not None:
        table = table.filter(table.column("segment").is_valid())
    counts = _counts(plan)
    sums = table.group_by(_population_grain(plan), use_threads=False).aggregate([(c, "sum") for c in counts])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])


def _population_grain(plan: GroupPlan) -> list[str]:
    return [*(["segment"] if plan.segment else []), *_HOURS]


def _counts(plan: GroupPlan) -> list[str]:
    return [f"{m}_count" for m in plan.population_metrics]


def _tile_columns(plan: GroupPlan) -> list[str]:
    own = [name for measure in plan.measures for name, _, _ in measure.columns]
    return ["key", *(["segment"] if plan.segment else []), *_HOURS, "known_ts", *own]
