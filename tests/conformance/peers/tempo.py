"""dbl-tempo: one TSDF per key, withRangeStats for windows, asofJoin for the last event and for profiles.

A request is a row of the series without numbers of its own, so that the statistics of its range are those of the events
before it. A range is in seconds and includes both its ends, so the row stands one microsecond before as_of; the other end
then lies one microsecond before as_of - w. Arrival has no place in it. All numeric columns are summarised, the documented default.
"""

from importlib.metadata import version
from typing import Any

import pyspark
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from tempo import TSDF

from tests.conformance.peers.common import Answer, Feature, Job, answers, condition, derived, metrics_of
from tests.conformance.peers.spark_sql import as_of, spark_views

__all__ = ["answer"]

_SERIES = ["case", "key", "segment"]
Numbers = dict[tuple[str, str], dict[str, dict[str, Any]]]


def answer(job: Job) -> Answer:
    """Every feature of every ask."""
    spark = spark_views(job)
    if job.kind == "profile":
        return _profiles(spark, job)
    log = _log(spark, job).cache()
    numbers: Numbers = {}
    for w in sorted({f.window_us for f in job.features if f.window_us}):
        _keep(numbers, f"own_{w}", _ranged(job, log, _SERIES, w))
        if any(f.strength for f in job.features):
            _keep(numbers, f"all_{w}", _ranged(job, log.where("key IS NOT NULL"), ["case", "segment"], w))
    _keep(numbers, "known", _last(log, F.lit(True), ["case", "key"]))
    for name, metric in metrics_of(job).items():
        if any(f.kind == "recency" and f.top == metric for f in job.features):
            _keep(numbers, f"age_{name}", _last(log, F.expr(condition(metric)), _SERIES))
    log.unpersist()
    return {ask: {f.name: _cell(job, f, tables) for f in job.features} for ask, tables in numbers.items()}


def _keep(numbers: Numbers, name: str, frame: DataFrame) -> None:
    for row in frame.where("ask IS NOT NULL").collect():
        numbers.setdefault((row["case"], row["ask"]), {})[name] = row.asDict()


def _cell(job: Job, feature: Feature, tables: dict[str, dict[str, Any]]) -> Any:
    def number(what: str, metric: tuple[str, bool], window: int | None) -> Any:
        name = f"{'first_' if metric[1] else ''}{metric[0]}"
        if what == "age":
            return tables[f"age_{name}"]["age"]
        table = tables[f"{'all' if what == 'all' else 'own'}_{window}"]
        column = {"total": f"sum_{name}_value", "average": f"mean_{name}_value"}.get(what, f"count_{name}")
        return table[column]

    last = tables["known"]
    known = last["age"] is not None and last["key"] is not None and (not job.segment or last["segment"] is not None)
    return derived(feature, number, known=known)


def _log(spark: SparkSession, job: Job) -> DataFrame:
    """Events and requests in one frame: case, ask, key, segment, ts, action, value, is_first."""
    events = _placed(spark, job, "events", "event_us").selectExpr(
        "case",
        "CAST(NULL AS string) AS ask",
        "key",
        "segment",
        "timestamp_micros(event_us) AS ts",
        "action",
        "value",
        "is_first",
    )
    nothing = ["CAST(NULL AS string) AS action", "CAST(NULL AS double) AS value", "CAST(NULL AS boolean) AS is_first"]
    moment = f"timestamp_micros({as_of(job)} - 1) AS ts"
    asks = _placed(spark, job, "asks", "request_us").selectExpr("case", "ask", "key", "segment", moment, *nothing)
    return events.unionByName(asks)


def _ranged(job: Job, log: DataFrame, series: list[str], window_us: int) -> DataFrame:
    numbers = {}
    for name, metric in metrics_of(job).items():
        which = F.expr(condition(metric))
        numbers[name] = F.when(which, F.lit(1.0))
        numbers[f"{name}_value"] = F.when(which, F.col("value"))
    chosen = log.select("ask", "ts", *series, *[column.alias(name) for name, column in numbers.items()])
    seconds = window_us // 1_000_000
    return TSDF(chosen, ts_col="ts", partition_cols=series).withRangeStats(rangeBackWindowSecs=seconds).df


def _last(log: DataFrame, which: Column, series: list[str]) -> DataFrame:
    """Seconds since the last event of the series, by an as-of join; asks without a key find none."""
    asks = log.where("ask IS NOT NULL").select("case", "key", "segment", "ask", "ts")
    events = log.where(F.col("ask").isNull() & which).select("ts", *series, F.lit(1).alias("one"))
    joined = TSDF(asks, ts_col="ts", partition_cols=series).asofJoin(
        TSDF(events, ts_col="ts", partition_cols=series), right_prefix="last"
    )
    age = (F.unix_micros("ts") + 1 - F.unix_micros("last_ts")) / 1e6
    return joined.df.withColumn("age", age)


def _placed(spark: SparkSession, job: Job, rows: str, at: str) -> DataFrame:
    """The rows with their key and segment; a profile is that of the moment `at`."""
    source, column = (job.segment or ".").split(".")
    frame = spark.table(rows)
    nothing = F.lit(None).cast("string")
    if job.entity == "author":
        return _as_of_profile(spark, frame, "item", at).withColumns({"key": F.col("v_author_id"), "segment": nothing})
    frame = frame.withColumn("key", F.col(f"{job.entity}_id"))
    if source in ("user", "item"):
        return _as_of_profile(spark, frame, source, at).withColumn("segment", F.col(f"v_{column}"))
    return frame.withColumn("segment", F.col(column) if source == "impression" else nothing)


def _as_of_profile(spark: SparkSession, frame: DataFrame, entity: str, at: str) -> DataFrame:
    """The last version that had begun and was known, by an as-of join, if it has not ended."""
    own = frame.withColumns({"who": F.col(f"{entity}_id"), "at_ts": F.timestamp_micros(F.col(at))})
    known = F.timestamp_micros(F.greatest("valid_from_us", "landed_us"))
    versions = spark.table(f"{entity}s").withColumns({"who": F.col("key"), "at_ts": known})
    series = ["case", "who"]
    right = TSDF(versions.drop("key"), ts_col="at_ts", partition_cols=series)
    left = TSDF(own, ts_col="at_ts", partition_cols=series)
    joined = left.asofJoin(right, right_prefix="v", skipNulls=False).df
    holds = F.col("v_valid_to_us").isNull() | (F.col(at) < F.col("v_valid_to_us"))
    columns = {"user": ["gender"], "item": ["author_id", "category"]}[entity]
    return joined.withColumns({f"v_{c}": F.when(holds, F.col(f"v_{c}")) for c in columns})


def _profiles(spark: SparkSession, job: Job) -> Answer:
    columns = {f.name: f"v_{f.name.removeprefix(job.entity + '_')}" for f in job.features}
    rows = _as_of_profile(spark, spark.table("asks"), job.entity, "request_us").collect()
    return {(row["case"], row["ask"]): {name: row[column] for name, column in columns.items()} for row in rows}


if __name__ == "__main__":
    answers(answer, version=f"dbl-tempo {version('dbl-tempo')} on Spark {pyspark.__version__}")
