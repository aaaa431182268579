"""Events to tiles: one row per key (x segment) x event_hour x visible_hour x landing day, additive columns (S24).

Tiles are append-only: everything a landing day contributes stands in its own partition and is never rewritten by a
later day, because the visible time is part of the key.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from features.axis import Ints
from features.clock import to_micros
from features.combine import TileSpec, combine_events, merge_tiles
from features.conditions import matches
from features.events import MICROUNITS, read_events
from headrace.arrowfiles import FileTasks
from headrace.config import FeaturesConfig, Metric, group_cells, measures_of
from headrace.durations import micros
from headrace.exchange import PACKED_SCHEMA, Hot, gathered, pack, pack_to, partition_of, unpack
from headrace.workers import map_in_arrow

__all__ = ["merged_tiles", "packed_tiles", "packed_tiles_of_files", "tile_spec"]

_FLUSH_BYTES = 64 << 20
_OUTPUT_ROWS = 1 << 16


def tile_spec(features: FeaturesConfig, name: str, *, types: dict[str, str] | None = None) -> TileSpec:
    """How one group's tiles are made; a metric's bit is its place among the declared metrics.

    `types` are headrace.config.value_types, needed where a column keeps values of a profile.
    """
    group = features.groups[name]
    return TileSpec(
        name=name,
        key=f"{group.entity}_id",
        segment=group.segment_column,
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
    return map_in_arrow(chosen, _combiner(specs, partitions=partitions, days=days, hot={}), PACKED_SCHEMA)


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

    return map_in_arrow(tasks.frame, run, PACKED_SCHEMA)


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

    return map_in_arrow(exchanged.where(F.col("tag") == spec.name), run, ends_as)
