"""Headrace on the features benchmark: the product's own tiles and feature engine, from logs to one row per impression."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql import types as t
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.spark_tiles import read
from benchmarks.names import COUNTED, ENTITIES, SUMMED, WINDOWS, feature_names
from features.build import build_features
from features.tiles import packed_tiles_of_files, tile_spec
from headrace.arrowfiles import file_tasks
from headrace.arrowsink import WRITTEN_SCHEMA, parquet_sink
from headrace.config import FeaturesConfig, Metric
from headrace.config.columns import group_columns
from headrace.delta import DeltaFile

__all__ = ["build", "features_config"]

_PARTITIONS = 4


def features_config() -> FeaturesConfig:
    """The 48 features as a user would declare them."""
    metrics = {name: Metric(action="watch" if name == SUMMED else name, value=name == SUMMED) for name in COUNTED}
    group = {
        "windows": list(WINDOWS),
        "delay": "0",
        "refresh": "1h",
        "tolerance": "1d",
        "count": list(COUNTED),
        "sum": [SUMMED],
    }
    groups = {entity: {"entity": entity, **group} for entity in ENTITIES}
    return FeaturesConfig.model_validate({"tile": "1h", "metrics": metrics, "groups": groups})


def build(job: Job) -> None:
    """Write impression_id and the 48 features of every spine row to Parquet files in `out`."""
    features = features_config()
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    job.clock.start()
    tasks = file_tasks(spark, {table: log_files(job.world, table) for table in ("impressions", "engagements")})
    columns = [f for name, group in features.groups.items() for f in group_columns(features, name, group)]
    kinds = {"bigint": t.LongType(), "double": t.DoubleType()}
    fields = [t.StructField("impression_id", t.LongType()), *[t.StructField(f.name, kinds[f.type]) for f in columns]]
    schema = t.StructType([*fields, t.StructField("ds", t.DateType())])
    rows = read(spark, job.world, "spine").select("impression_id", "user_id", "item_id", "request_ts")
    specs = [tile_spec(features, name) for name in features.groups]
    tiles = packed_tiles_of_files(tasks, specs, metrics=features.metrics, partitions=_PARTITIONS)
    written = build_features(
        rows.withColumn("ds", F.to_date("request_ts")),
        {"user": [tiles], "item": []},
        features=features,
        columns=columns,
        profiles={},
        timezone="UTC",
        partitions=_PARTITIONS,
        schema=schema,
        sink=(parquet_sink(str(job.out), to_arrow_schema(schema)), WRITTEN_SCHEMA),
    )
    assert sorted(f.name for f in columns) == sorted(feature_names())
    assert written.agg(F.count("path")).first() is not None


def log_files(world: Path, table: str) -> list[DeltaFile]:
    """The files of one table of a world, as a Delta log would list them."""
    found = sorted((world / table).glob("ds=*/*.parquet"))
    return [DeltaFile(str(f), date.fromisoformat(f.parent.name[3:]), pq.read_metadata(f).num_rows) for f in found]


if __name__ == "__main__":
    contend(build)
