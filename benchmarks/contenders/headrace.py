"""Headrace on the features benchmark: the product's own tiles and feature engine, from logs to one row per impression."""

from pyspark.sql import functions as F
from pyspark.sql import types as t

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.spark_tiles import read
from benchmarks.names import COUNTED, ENTITIES, SUMMED, WINDOWS, feature_names
from features.build import GroupTiles, build_features
from features.tiles import event_log, packed_tiles
from headrace.config import FeaturesConfig, Metric
from headrace.config.columns import group_columns

__all__ = ["build", "features_config"]

_PARTITIONS = 8


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
    arrived = {"effective_arrival_ts": F.col("event_ts"), "ds": F.lit("2024-01-01").cast("date")}
    impressions = read(spark, job.world, "impressions").withColumns(arrived)
    engagements = read(spark, job.world, "engagements").withColumns({**arrived, "is_first": F.lit(True)})
    log = event_log(impressions, engagements, context=[])
    columns = [f for name, group in features.groups.items() for f in group_columns(features, name, group)]
    kinds = {"bigint": t.LongType(), "double": t.DoubleType()}
    schema = t.StructType(
        [t.StructField("impression_id", t.LongType()), *[t.StructField(f.name, kinds[f.type]) for f in columns]]
    )
    rows = read(spark, job.world, "spine").select("impression_id", "user_id", "item_id", "request_ts")
    built = build_features(
        rows,
        {
            name: GroupTiles(packed_tiles(log, features, names=[name], partitions=_PARTITIONS))
            for name in features.groups
        },
        features=features,
        columns=columns,
        profiles={},
        timezone="UTC",
        partitions=_PARTITIONS,
        schema=schema,
    )
    assert sorted(f.name for f in columns) == sorted(feature_names())
    built.write.mode("append").parquet(str(job.out))


if __name__ == "__main__":
    contend(build)
