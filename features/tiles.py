"""Events to tiles: one row per key (x segment) x event_hour x visible_hour x landing day, additive columns (S24).

Tiles are append-only: everything a landing day contributes stands in its own partition and is never rewritten by a
later day, because the visible time is part of the key.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.clock import to_micros
from features.combine import TileSpec, combine_events, merge_tiles
from features.conditions import PAIRED, log_column, matches, sources_of
from features.events import MICROUNITS, read_events
from features.profiles import join_profile
from features.windows import Ints
from headrace.arrowfiles import FileTasks
from headrace.config import FeaturesConfig, Group, Metric, group_cells, measures_of
from headrace.durations import micros
from headrace.exchange import PACKED_SCHEMA, Hot, gathered, pack, pack_to, partition_of, unpack
from schemas.days import ds_start

__all__ = [
    "event_log",
    "impression_columns",
    "merged_tiles",
    "packed_tiles",
    "packed_tiles_of_files",
    "profile_sources",
    "segment_column",
    "tile_spec",
    "with_impression",
    "with_profiles",
]

_FLUSH_BYTES = 64 << 20
_OUTPUT_ROWS = 1 << 16
_SHARED = ["user_id", "item_id", "event_ts", "effective_arrival_ts", "impression_id", "ds"]
_DONE = ["action", "value", "is_first"]


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
        *_DONE,
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


def with_impression(
    impressions: DataFrame, engagements: DataFrame, *, columns: list[str], days: list[str], segmented: bool
) -> DataFrame:
    """The log of `days` for a group that looks at columns of the impression (S12).

    An engagement takes the values of its impression as first landed and is visible from the later of the two; where the
    impression lands after it, the pair belongs to the impression's landing day.

    Parameters
    ----------
    segmented : whether the group's segment is one of the columns
        Then an engagement whose impression has not landed counts in no segment: it only makes the key known. Without,
        every engagement also stands for itself (PAIRED false), for the metrics that do not look at the impression.
    """
    shown = event_log(impressions, engagements.limit(0), context=columns)
    landed = _first_landed(impressions, columns)
    done = engagements.join(landed, F.col("impression_id") == F.col("_id"), how="left")
    later = F.col("_ds") > F.col("ds")
    alone = done.where(F.col("_ds").isNull() | later) if segmented else engagements
    alone = alone.select(
        *_SHARED, *[F.lit(None).cast(impressions.schema[c].dataType).alias(c) for c in columns], *_DONE
    )
    paired = done.where(F.col("_ds").isNotNull()).select(
        "user_id",
        "item_id",
        "event_ts",
        F.greatest("effective_arrival_ts", "_arrival").alias("effective_arrival_ts"),
        "impression_id",
        F.greatest("ds", "_ds").alias("ds"),
        *[F.col(f"_value_{c}").alias(c) for c in columns],
        *_DONE,
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    both = F.lit(None).cast("boolean")
    own = F.col("effective_arrival_ts")
    together = (
        shown.withColumns({"own_arrival_ts": own, PAIRED: both})
        .unionByName(alone.withColumns({"own_arrival_ts": own, PAIRED: both if segmented else F.lit(False)}))
        .unionByName(paired.withColumn(PAIRED, both if segmented else F.lit(True)))
    )
    return together.where(F.col("ds").cast("string").isin(days))


def _first_landed(impressions: DataFrame, columns: list[str]) -> DataFrame:
    """One row per impression_id: when and with which values it first landed."""
    first = Window.partitionBy("impression_id").orderBy("ds", "effective_arrival_ts")
    ranked = impressions.withColumn("_rank", F.row_number().over(first)).where("_rank = 1")
    return ranked.select(
        F.col("impression_id").alias("_id"),
        F.col("ds").alias("_ds"),
        F.col("effective_arrival_ts").alias("_arrival"),
        *[F.col(c).alias(f"_value_{c}") for c in columns],
    )


def tile_spec(features: FeaturesConfig, name: str, *, types: dict[str, str] | None = None) -> TileSpec:
    """How one group's tiles are made; a metric's bit is its place among the declared metrics.

    `types` are headrace.config.value_types, needed where a column keeps values of a profile.
    """
    group = features.groups[name]
    return TileSpec(
        name=name,
        key=f"{group.entity}_id",
        segment=None if group.segment is None else segment_column(group),
        tick_us=group.tile_micros(features.tile),
        delay_us=micros(group.delay),
        measures=tuple(measures_of(group_cells(group), types=types or {})),
        bits={metric: place for place, metric in enumerate(features.metrics)},
        most_segments=features.max_segment_values,
    )


def packed_tiles(
    events: DataFrame, specs: Sequence[TileSpec], *, metrics: dict[str, Metric], partitions: int, days: int = 0
) -> DataFrame:
    """Partial tiles of several groups in one pass over a log that carries their keys and columns, packed for exchange.

    Parameters
    ----------
    specs : groups; the tag of a packed row is its group
    metrics : all declared ones, in order
    partitions : tasks behind the exchange
    days : landing days in `events`, to keep each day's tiles in few partitions; 0 sends every key to its own, where
        the rows to be enriched meet it

    Complexity: each map task sorts its events once a group; only partial tiles travel, never events.
    """
    own = "own_arrival_ts" if "own_arrival_ts" in events.columns else "effective_arrival_ts"
    chosen = events.select(
        *_wanted(specs),
        to_micros(F.col("event_ts")).alias("event_us"),
        to_micros(F.col("effective_arrival_ts")).alias("arrival_us"),
        to_micros(F.col(own)).alias("own_us"),
        matches(metrics, log=events.columns).alias("matches"),
        F.coalesce(F.rint(F.col("value") * MICROUNITS).cast("bigint"), F.lit(0)).alias("units"),  # S22: half to even
        F.unix_date("ds").cast("bigint").alias("ds_number"),
    )
    return chosen.mapInArrow(_combiner(specs, partitions=partitions, days=days, hot={}), PACKED_SCHEMA)


def packed_tiles_of_files(
    tasks: FileTasks,
    specs: Sequence[TileSpec],
    *,
    metrics: dict[str, Metric],
    partitions: int,
    days: int = 0,
    hot: Mapping[str, Hot] | None = None,
) -> DataFrame:
    """`packed_tiles` of groups that need nothing but the log itself, straight from its files.

    Parameters
    ----------
    tasks : `headrace.arrowfiles.file_tasks` over files of `impressions` and `engagements`
    hot : group -> hot keys of its entity (features.skew), with days = 0: their tiles go to every partition that has
        rows of them
    """
    read = read_events(tasks.pieces, keys=_wanted(specs), metrics=metrics)
    combine = _combiner(specs, partitions=partitions, days=days, hot=hot or {})

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from combine(batch for table in read(batches) for batch in table.to_batches())

    return tasks.frame.mapInArrow(run, PACKED_SCHEMA)


def _wanted(specs: Sequence[TileSpec]) -> list[str]:
    return [*dict.fromkeys(c for spec in specs for c in (spec.key, spec.segment, *spec.kept) if c)]


def _combiner(
    specs: Sequence[TileSpec], *, partitions: int, days: int, hot: Mapping[str, Hot]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    chunks = max(partitions // days, 1) if days else 0

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for events in gathered(batches, flush_bytes=_FLUSH_BYTES):
            for spec in specs:
                tiles = combine_events(events, spec)
                if chunks:
                    target = _target(tiles, spec, partitions=partitions, chunks=chunks)
                    yield from pack_to(tiles, target=target, tag=spec.name, partitions=partitions)
                else:  # by key: rows wait there, those of a hot key in several partitions
                    own = hot.get(spec.name)
                    yield from pack(tiles, key="key", tag=spec.name, partitions=partitions, hot=own, copies=True)

    return run


def _target(tiles: pa.Table, spec: TileSpec, *, partitions: int, chunks: int) -> Ints:
    """Where tiles of a table meet: by day, key and time, so that a hot key's tiles spread too."""
    keys = tiles.column("key").combine_chunks()
    mixed = np.asarray(keys, dtype=np.int64) ^ np.asarray(tiles.column("event_hour").to_numpy()) // spec.tick_us
    part = partition_of(pa.array(mixed), partitions=chunks)
    return (np.asarray(tiles.column("ds_number").to_numpy()) * chunks + part) % partitions


def merged_tiles(
    exchanged: DataFrame,
    spec: TileSpec,
    *,
    schema: StructType,
    sink: tuple[Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], str],
) -> DataFrame:
    """Rows of `tiles_<group>` from packed partial tiles that met in their partition, handed to `sink` in each task."""
    arrow = to_arrow_schema(schema)
    end, ends_as = sink

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        partial = unpack(batches).get(spec.name)
        if partial is not None:
            tiles = merge_tiles(partial, spec)
            ds = tiles.column("ds_number").cast(pa.int32()).cast(pa.date32())
            tiles = tiles.drop_columns(["ds_number"]).append_column("ds", ds)
            whole = pa.table([tiles.column(f.name).cast(f.type) for f in arrow], schema=arrow)
            yield from end(whole.to_batches(max_chunksize=_OUTPUT_ROWS))

    return exchanged.where(F.col("tag") == spec.name).mapInArrow(run, ends_as)


def segment_column(group: Group) -> str:
    """Column of the log, or of the spine, that holds the group's segment value."""
    source, column = (group.segment or ".").split(".")
    if group.segment == "item.author_id":
        return "author_id"  # an id of its own, not a feature of the item
    return column if source == "impression" else f"{source}_{column}"


def impression_columns(features: FeaturesConfig, name: str) -> list[str]:
    """Columns of the impression that the group's engagements take: of its segment and of its metrics' conditions."""
    group = features.groups[name]
    segment = [s for s in [group.segment or ""] if s.startswith("impression.")]
    asked = [c.column for m in group.metric_names for c in features.metrics[m].where if c.source == "impression"]
    return sorted({log_column(column) for column in (*segment, *asked)})


def profile_sources(features: FeaturesConfig, name: str) -> set[str]:
    """Profiles, user and item, that the group's key, segment, kept columns and conditions come from."""
    group = features.groups[name]
    named = [group.segment or "", *group.columns_of]
    asked = {source for m in group.metric_names for source in sources_of(features.metrics[m])}
    found = {column.split(".")[0] for column in named if "." in column} | asked
    if group.entity == "author" or "author_id" in group.columns_of:
        found.add("item")
    return found & {"user", "item"}
