"""Events to tiles: one row per key (x segment) x event_hour x visible_hour x landing day, additive columns (S24).

Tiles are append-only: everything a landing day contributes stands in its own partition and is never rewritten by a
later day, because the visible time is part of the key.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.clock import to_micros
from features.combine import TileSpec, combine_events, merge_tiles
from features.events import MICROUNITS, read_events
from features.profiles import join_profile
from headrace.arrowfiles import FileTasks
from headrace.config import FeaturesConfig, Group, Metric
from headrace.durations import micros
from headrace.exchange import PACKED_SCHEMA, gathered, pack_to, partition_of, unpack
from schemas.days import ds_start

__all__ = [
    "event_log",
    "merged_tiles",
    "needs_impression",
    "needs_profile",
    "packed_tiles",
    "packed_tiles_of_files",
    "segment_column",
    "tile_spec",
    "with_impression_segment",
    "with_profiles",
]

_FLUSH_BYTES = 64 << 20
_OUTPUT_ROWS = 1 << 16
_SHARED = ["user_id", "item_id", "event_ts", "effective_arrival_ts", "impression_id", "ds"]


def event_log(impressions: DataFrame, engagements: DataFrame, *, context: list[str]) -> DataFrame:
    """Impressions and engagements as one log with `action`; `context` columns are null on engagements."""
    shown = impressions.select(
        *_SHARED,
        *context,
        F.lit("impression").alias("action"),
        F.lit(None).cast("double").alias("value"),
        F.lit(True).alias("is_first"),
    )
    done = engagements.select(
        *_SHARED,
        *[F.lit(None).cast(impressions.schema[c].dataType).alias(c) for c in context],
        "action",
        "value",
        "is_first",
    )
    return shown.unionByName(done)


def with_profiles(events: DataFrame, *, users: DataFrame | None, items: DataFrame | None, timezone: str) -> DataFrame:
    """Profile columns of both sides at each event's own event_ts (S16), as `user_<column>` and `item_<column>`.

    An event stamped after the end of its landing day reads the profiles as of that day's end, so that a day's tiles
    never need a profile that lands later.
    """
    end = to_micros(ds_start(F.date_add("ds", 1), timezone)) - 1
    at = F.least(to_micros(F.col("event_ts")), end)
    if users is not None:
        events = join_profile(events, users, key="user_id", at=at, prefix="user")
    if items is not None:
        events = join_profile(events, items, key="item_id", at=at, prefix="item")
        if "item_author_id" in events.columns:
            events = events.withColumnRenamed("item_author_id", "author_id")
    return events


def with_impression_segment(
    impressions: DataFrame, engagements: DataFrame, *, column: str, days: list[str]
) -> DataFrame:
    """The log of `days` for a group segmented by an impression column (S12).

    An engagement takes the value of its impression as first landed and is visible from the later of the two; where the
    impression lands after it, the pair belongs to the impression's landing day, and the engagement alone, without a
    segment, to its own: it makes the key known.
    """
    first = Window.partitionBy("impression_id").orderBy("ds", "effective_arrival_ts")
    landed = (
        impressions.withColumn("_rank", F.row_number().over(first))
        .where("_rank = 1")
        .select(
            F.col("impression_id").alias("_id"),
            F.col(column).alias("_value"),
            F.col("ds").alias("_ds"),
            F.col("effective_arrival_ts").alias("_arrival"),
        )
    )
    shown = event_log(impressions, engagements.limit(0), context=[column]).withColumn(
        "own_arrival_ts", F.col("effective_arrival_ts")
    )
    done = engagements.join(landed, F.col("impression_id") == F.col("_id"), how="left")
    later = F.col("_ds") > F.col("ds")
    alone = done.where(F.col("_ds").isNull() | later).select(
        *_SHARED,
        F.lit(None).cast(impressions.schema[column].dataType).alias(column),
        "action",
        "value",
        "is_first",
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    paired = done.where(F.col("_ds").isNotNull()).select(
        "user_id",
        "item_id",
        "event_ts",
        F.greatest("effective_arrival_ts", "_arrival").alias("effective_arrival_ts"),
        "impression_id",
        F.greatest("ds", "_ds").alias("ds"),
        F.col("_value").alias(column),
        "action",
        "value",
        "is_first",
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    together = shown.unionByName(alone).unionByName(paired)
    return together.where(F.col("ds").cast("string").isin(days))


def tile_spec(features: FeaturesConfig, name: str) -> TileSpec:
    """How one group's tiles are made; a metric's bit is its place among the declared metrics."""
    group = features.groups[name]
    bits = {metric: place for place, metric in enumerate(features.metrics)}

    def with_bits(metrics: list[str]) -> tuple[tuple[str, int], ...]:
        return tuple((m, bits[m]) for m in metrics)

    return TileSpec(
        name=name,
        key=f"{group.entity}_id",
        segment=None if group.segment is None else segment_column(group),
        tick_us=group.tile_micros(features.tile),
        delay_us=micros(group.delay),
        counted=with_bits(group.counted),
        summed=with_bits(group.summed),
        recency=with_bits(group.recency),
    )


def packed_tiles(
    events: DataFrame, features: FeaturesConfig, *, names: Sequence[str], partitions: int, days: int = 0
) -> DataFrame:
    """Partial tiles of several groups in one pass over a log that carries their keys and segments, packed for exchange.

    Parameters
    ----------
    names : groups; the tag of a packed row is its group
    partitions : tasks behind the exchange
    days : landing days in `events`, to keep each day's tiles in few partitions; 0 sends every key to its own, where
        the rows to be enriched meet it

    Complexity: each map task sorts its events once a group; only partial tiles travel, never events.
    """
    specs = [tile_spec(features, name) for name in names]
    own = "own_arrival_ts" if "own_arrival_ts" in events.columns else "effective_arrival_ts"
    chosen = events.select(
        *_wanted(specs),
        to_micros(F.col("event_ts")).alias("event_us"),
        to_micros(F.col("effective_arrival_ts")).alias("arrival_us"),
        to_micros(F.col(own)).alias("own_us"),
        _matches(features.metrics).alias("matches"),
        F.coalesce(F.rint(F.col("value") * MICROUNITS).cast("bigint"), F.lit(0)).alias("units"),  # S22: half to even
        F.unix_date("ds").cast("bigint").alias("ds_number"),
    )
    return chosen.mapInArrow(_combiner(specs, partitions=partitions, days=days), PACKED_SCHEMA)


def _matches(metrics: dict[str, Metric]) -> Column:
    """One bit a metric: which of them the event belongs to. `once` counts the first per impression and action (S19)."""
    bits = F.lit(0).cast("bigint")
    for place, metric in enumerate(metrics.values()):
        counts = F.col("action") == metric.action
        counts = counts & F.col("is_first") if metric.once else counts
        bits = bits + F.when(counts, F.lit(1 << place).cast("bigint")).otherwise(F.lit(0).cast("bigint"))
    return bits


def packed_tiles_of_files(
    tasks: FileTasks, features: FeaturesConfig, *, names: Sequence[str], partitions: int, days: int = 0
) -> DataFrame:
    """`packed_tiles` of groups that need nothing but the log itself, straight from its files.

    Parameters
    ----------
    tasks : `headrace.arrowfiles.file_tasks` over files of `impressions` and `engagements`
    """
    specs = [tile_spec(features, name) for name in names]
    read = read_events(tasks.pieces, keys=_wanted(specs), metrics=features.metrics)
    combine = _combiner(specs, partitions=partitions, days=days)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from combine(batch for table in read(batches) for batch in table.to_batches())

    return tasks.frame.mapInArrow(run, PACKED_SCHEMA)


def _wanted(specs: list[TileSpec]) -> list[str]:
    return [*dict.fromkeys(c for spec in specs for c in (spec.key, spec.segment) if c)]


def _combiner(
    specs: list[TileSpec], *, partitions: int, days: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    chunks = max(partitions // days, 1) if days else 0

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for events in gathered(batches, flush_bytes=_FLUSH_BYTES):
            for spec in specs:
                tiles = combine_events(events, spec)
                target = partition_of(tiles.column("key").combine_chunks(), partitions=partitions)
                if chunks:
                    number = tiles.column("ds_number").to_numpy()
                    target = (number * chunks + target % chunks) % partitions
                yield from pack_to(tiles, target=target, tag=spec.name, partitions=partitions)

    return run


def merged_tiles(
    exchanged: DataFrame,
    features: FeaturesConfig,
    *,
    name: str,
    schema: StructType,
    sink: tuple[Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], str],
) -> DataFrame:
    """Rows of `tiles_<group>` from packed partial tiles that met in their partition, handed to `sink` in each task."""
    spec, arrow = tile_spec(features, name), to_arrow_schema(schema)
    end, ends_as = sink

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        partial = unpack(batches).get(name)
        if partial is not None:
            tiles = merge_tiles(partial, spec)
            ds = tiles.column("ds_number").cast(pa.int32()).cast(pa.date32())
            tiles = tiles.drop_columns(["ds_number"]).append_column("ds", ds)
            whole = pa.table([tiles.column(f.name).cast(f.type) for f in arrow], schema=arrow)
            yield from end(whole.to_batches(max_chunksize=_OUTPUT_ROWS))

    return exchanged.where(F.col("tag") == name).mapInArrow(run, ends_as)


def segment_column(group: Group) -> str:
    """Column of the log, or of the spine, that holds the group's segment value."""
    source, column = (group.segment or ".").split(".")
    if group.segment == "item.author_id":
        return "author_id"  # an id of its own, not a feature of the item
    return column if source == "impression" else f"{source}_{column}"


def needs_impression(group: Group) -> bool:
    """Whether the group's segment is a column of the impression."""
    return (group.segment or "").startswith("impression.")


def needs_profile(group: Group) -> bool:
    """Whether the group's key or segment comes from a profile."""
    return group.entity == "author" or (group.segment or "").startswith(("user.", "item."))
