"""stats_<group>: every feature of a group as an impression at the end of a day would see it (S23), for serving.

One row per key (x segment) and day on which a cell changed since the day before, so that a key without news is not
written again; recency and age, which grow by themselves, do not count as news. `latest` puts a whole snapshot together.
A day's rows depend on its tiles and nothing else: days can be built in any order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.axis import Ints
from features.evidence import as_of_moment
from features.groupstats import group_columns
from features.plan import GroupPlan, population_tag
from features.statistics import Bools, Statistics, ints
from headrace.config import Group
from headrace.days import day_end, epoch_micros
from headrace.exchange import one_array, unpack
from headrace.workers import map_in_arrow

__all__ = ["Moments", "latest", "priors", "snapshot", "snapshot_moments", "snapshot_tables"]

_BATCH_ROWS = 1 << 16
_ELAPSED = ("recency", "age")
_Sink = tuple[Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], str | StructType]
Moments = Mapping[date, tuple[datetime, datetime]]


def snapshot_moments(group: Group, days: Sequence[date], timezone: str) -> Moments:
    """Day -> as_of of an impression at its end, and of one at the end of the day before."""

    def at_end(day: date) -> datetime:
        return as_of_moment(day_end(day, timezone), group, timezone)

    return {day: (at_end(day), at_end(day - timedelta(days=1))) for day in days}


def snapshot_tables(plan: GroupPlan) -> list[str]:
    """Tables of one group's snapshot; priors only where a rate is smoothed."""
    return [f"stats_{plan.name}", *([f"priors_{plan.name}"] if plan.population_metrics else [])]


def snapshot(met: DataFrame, plan: GroupPlan, *, moments: Moments, schema: StructType, sink: _Sink) -> DataFrame:
    """Changed rows of some days, handed to `sink` in each task.

    Parameters
    ----------
    met : packed tiles and populations of groups (features.reading.packed_files) in the partitions they name
    moments : `snapshot_moments`
    schema : of `stats_<group>`
    """
    arrow, (end, ends_as) = to_arrow_schema(schema), sink

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tables = unpack(batches)
        tiles = tables.get(plan.name)
        if tiles is not None:
            population = tables.get(population_tag(plan))
            days = (
                _changed(plan, tiles, population, day=day, now=now, before=before, schema=arrow)
                for day, (now, before) in moments.items()
            )
            yield from end(batch for table in days for batch in table.to_batches(max_chunksize=_BATCH_ROWS))

    return map_in_arrow(met.where(F.col("tag").isin(plan.name, population_tag(plan))), run, ends_as)


def _changed(
    plan: GroupPlan, tiles: pa.Table, population: pa.Table | None, *, day: date, now: datetime, before: datetime,
    schema: pa.Schema,
) -> pa.Table:  # fmt: skip
    """Rows of the keys in `tiles` whose cells at `now` differ from those at `before`, or that were not known then."""
    keys = _pairs(plan, tiles, as_of=epoch_micros(now))
    cells, known = _cells(plan, keys, tiles, population, moment=now)
    old_cells, was_known = _cells(plan, keys, tiles, population, moment=before)
    news = ~was_known
    passed = epoch_micros(now) - epoch_micros(before)
    for cell, new, old in zip(plan.cells, cells, old_cells, strict=True):
        news |= ~(_same(new, _later(old, passed)) if cell.aggregate in _ELAPSED else _same(new, old))
    rows = pa.array(np.flatnonzero(known & news))
    made = {"key": keys["key"], "as_of": pa.array([now] * keys.num_rows, pa.timestamp("us", "UTC"))}
    made["touched_ts"] = _touched(plan, keys, tiles, moment=now)
    made["ds"] = pa.array([day] * keys.num_rows, pa.date32())
    made |= {cell.name: column for cell, column in zip(plan.cells, cells, strict=True)}
    if plan.segment is not None:
        made["segment"] = keys[plan.segment]
    return pa.table([made[f.name].take(rows).cast(f.type) for f in schema], schema=schema)


def _pairs(plan: GroupPlan, tiles: pa.Table, *, as_of: int) -> pa.Table:
    """Every key (x segment value met by then), and with a segment every key once more alone, for those it never met."""
    if plan.segment is None:
        return pa.table({plan.key: tiles["key"].unique(), "key": tiles["key"].unique()})
    seen = tiles.filter(pa.array(ints(tiles["visible_hour"]) < as_of))
    met = seen.select(["key", "segment"]).filter(seen["segment"].is_valid())
    met = met.group_by(["key", "segment"], use_threads=False).aggregate([])
    alone = tiles["key"].unique()
    keys = pa.concat_arrays([one_array(met["key"]), alone])
    segments = pa.concat_arrays([one_array(met["segment"]), pa.nulls(len(alone), met["segment"].type)])
    return pa.table({plan.key: keys, "key": keys, plan.segment: segments})


def _cells(
    plan: GroupPlan, keys: pa.Table, tiles: pa.Table, population: pa.Table | None, *, moment: datetime
) -> tuple[list[pa.Array], Bools]:
    """Cells of every pair; a key alone asks for a segment that nobody ever met."""
    if plan.segment is not None:
        segments = one_array(keys[plan.segment])
        keys = keys.set_column(keys.schema.get_field_index(plan.segment), plan.segment, _never_null(segments))
    rows = keys.append_column(plan.as_of, pa.array(np.full(keys.num_rows, epoch_micros(moment))))
    return group_columns(plan, rows, tiles=tiles, population=population)


def _never_null(segments: pa.Array) -> pa.Array:
    """A value that is not among them in place of null."""
    met = set(segments.unique().to_pylist())
    candidates = (f"({n})" if pa.types.is_string(segments.type) else n for n in range(len(met) + 1))
    return segments.fill_null(pa.scalar(next(c for c in candidates if c not in met), segments.type))


def _later(cell: pa.Array, micros: int) -> pa.Array:
    """A recency or age so many microseconds later, in whole microseconds like the original."""
    units = np.rint(np.asarray(cell.fill_null(0.0)) * 1e6).astype(np.int64)
    return pa.array((units + micros) / 1e6, mask=np.asarray(cell.is_null()))


def _touched(plan: GroupPlan, keys: pa.Table, tiles: pa.Table, *, moment: datetime) -> pa.Array:
    """When the newest event that counts for the row became visible (start of its tile); null for a key alone."""
    by = ["key", *(["segment"] if plan.segment else [])]
    seen = tiles.filter(pa.array(ints(tiles["visible_hour"]) < epoch_micros(moment)))
    newest = seen.group_by(by, use_threads=False).aggregate([("visible_hour", "max")])
    own = keys.select(["key", *([plan.segment] if plan.segment else [])]).rename_columns(by)
    own = own.append_column("_row", pa.array(np.arange(keys.num_rows)))
    met = own.join(newest, keys=by, join_type="left outer", use_threads=False).sort_by("_row")
    return one_array(met["visible_hour_max"]).cast(pa.timestamp("us", "UTC"))


def _same(left: pa.Array, right: pa.Array) -> Bools:
    """Whether cells are equal; two nulls are."""
    both_null = np.asarray(pc.and_(pc.is_null(left), pc.is_null(right)))
    if not pa.types.is_list(left.type):
        return both_null | np.asarray(pc.fill_null(pc.equal(left, right), False))
    sizes = [_sizes(side) for side in (left, right)]
    same = (sizes[0] == sizes[1]) & np.asarray(pc.equal(pc.is_null(left), pc.is_null(right)))
    rows = pa.array(np.flatnonzero(same))
    entries = [pc.list_flatten(side.take(rows)) for side in (left, right)]
    parents = np.asarray(rows)[np.repeat(np.arange(len(rows)), sizes[0][same])]
    differs = np.asarray(pc.fill_null(pc.not_equal(*entries), False))
    same[parents[differs]] = False
    return same


def _sizes(column: pa.Array) -> Ints:
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)


def priors(met: DataFrame, plan: GroupPlan, *, moments: Moments, schema: StructType, sink: _Sink) -> DataFrame:
    """`priors_<group>`: the population's rate behind every smoothed column, per segment value and day.

    Every partition of `met` (`snapshot`) holds the whole population; the first one answers.
    """
    arrow, (end, ends_as) = to_arrow_schema(schema), sink

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = unpack(batches).get(population_tag(plan))
        context = TaskContext.get()
        if table is not None and context is not None and context.partitionId() == 0:
            days = (_prior_rows(plan, table, day=day, now=now, schema=arrow) for day, (now, _) in moments.items())
            yield from end(batch for rows in days for batch in rows.to_batches())

    return map_in_arrow(met.where(F.col("tag") == population_tag(plan)), run, ends_as)


def _prior_rows(plan: GroupPlan, population: pa.Table, *, day: date, now: datetime, schema: pa.Schema) -> pa.Table:
    segments = one_array(population["segment"]).unique() if plan.segment else pa.nulls(1)
    count = len(segments)
    codes = (
        np.asarray(pc.index_in(one_array(population["segment"]), segments))
        if plan.segment
        else np.zeros(population.num_rows)
    )
    asked = np.arange(count)
    as_of = np.full(count, epoch_micros(now) // plan.tick)
    statistics = Statistics(
        population, codes.astype(np.int64), asked, as_of, asked, plan.tick, plan.spans, n_codes=count
    )
    made = {
        "segment": segments,
        "as_of": pa.array([now] * count, pa.timestamp("us", "UTC")),
        "ds": pa.array([day] * count),
    }
    for cell in plan.cells:
        if cell.aggregate != "rate_smoothed" or cell.window is None:
            continue
        w = plan.windows[cell.window]
        top, bottom = (statistics.total(f"{m}_count", w) for m in (cell.metric, cell.over))
        made[cell.name] = pa.array(top / np.maximum(bottom, 1), mask=bottom == 0)
    return pa.table([made[f.name].cast(f.type) for f in schema], schema=schema)


def latest(stats: DataFrame, plan: GroupPlan, *, ds: date, now: datetime) -> DataFrame:
    """The whole snapshot of `ds`: the newest row of every key up to it, with recency and age as of `now`.

    Parameters
    ----------
    stats : rows of `stats_<group>`
    now : as_of of `ds` (`snapshot_moments`)
    """
    key = ["key", *(["segment"] if plan.segment else [])]
    newest = Window.partitionBy(*key).orderBy(F.col("ds").desc())
    rows = stats.where(F.col("ds") <= F.lit(ds)).withColumn("_place", F.row_number().over(newest)).where("_place = 1")
    elapsed = F.lit(epoch_micros(now)) - F.unix_micros("as_of")
    grown = {
        c.name: (F.rint(F.col(c.name) * 1e6).cast("bigint") + elapsed)
        / 1e6  # in whole microseconds: no sum of rounded seconds
        for c in plan.cells
        if c.aggregate in _ELAPSED
    }
    return rows.withColumns({**grown, "as_of": F.timestamp_micros(F.lit(epoch_micros(now)))}).drop("_place")
