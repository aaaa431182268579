"""Spark's own window functions: requests and events in one log, RANGE frames over event time, as the SQL guide shows.

One frame has one order, so arrival cannot be told from event time; a request is placed at its as_of and the frame ends
one microsecond before it. Profiles are joined by valid_from,
valid_to and landing.
"""

import os
import sys
from typing import Any

import pyspark
from pyspark.sql import SparkSession

from tests.conformance.peers.common import Answer, Job, answers, condition, derived, metrics_of

__all__ = ["answer", "as_of", "spark_views"]

_EVENTS = """case string, user_id bigint, item_id bigint, scene string, action string, value double, is_first boolean,
    event_us bigint, arrival_us bigint"""
_ASKS = "case string, ask string, request_us bigint, user_id bigint, item_id bigint, scene string"
_VERSIONS = "case string, key bigint, valid_from_us bigint, valid_to_us bigint, landed_us bigint"
_SCHEMAS = {
    "events": _EVENTS,
    "asks": _ASKS,
    "users": f"{_VERSIONS}, gender string",
    "items": f"{_VERSIONS}, author_id bigint, category string",
}


def _session() -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").appName("peers").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.log.level", "ERROR")
    return builder.config("spark.sql.adaptive.enabled", "false").getOrCreate()


def answer(job: Job) -> Answer:
    """Every feature of every ask."""
    spark = spark_views(job)
    if job.kind == "profile":
        return _profiles(spark, job)
    rows = [row.asDict() for row in spark.sql(_query(job)).collect()]
    found: Answer = {}
    for row in rows:

        def number(what: str, metric: tuple[str, bool], window: int | None, row: dict[str, Any] = row) -> Any:
            return row[_name(what, metric, window)]

        known = row["known"] > 0 and row["key"] is not None and (job.segment is None or row["segment"] is not None)
        found[row["case"], row["ask"]] = {f.name: derived(f, number, known=known) for f in job.features}
    return found


def spark_views(job: Job) -> SparkSession:
    """A session with the business timezone where days are floored, and the job's rows as temporary views."""
    spark = _session()
    spark.conf.set("spark.sql.session.timeZone", job.timezone if job.refresh_us > 3_600_000_000 else "UTC")
    for name, schema in _SCHEMAS.items():
        names = [field.split()[0] for field in schema.split(",")]
        rows = [tuple(row[n] for n in names) for row in getattr(job, name)]
        spark.createDataFrame(rows, schema).createOrReplaceTempView(name)
    return spark


def _query(job: Job) -> str:
    events = f"SELECT case, NULL AS ask, key, segment, action, value, is_first, event_us AS us FROM ({_placed(job, 'events', 'event_us')})"
    asks = f"SELECT case, ask, key, segment, NULL, NULL, NULL, {as_of(job)} FROM ({_placed(job, 'asks', 'request_us')})"
    before = "ORDER BY us RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    known = f"count(action) OVER (PARTITION BY case, key {before}) AS known"
    return f"SELECT * FROM (SELECT *, {known}, {_columns(job)} FROM ({events} UNION ALL {asks})) WHERE ask IS NOT NULL"


def _columns(job: Job) -> str:
    windows = sorted({f.window_us for f in job.features if f.window_us})
    ever = "PARTITION BY case, key, segment ORDER BY us RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    columns = []
    for metric in metrics_of(job).values():
        which = condition(metric)
        last = f"max(CASE WHEN {which} THEN us END) OVER ({ever})"
        columns.append(f"(us - {last}) / 1e6 AS {_name('age', metric, None)}")
        for w in windows:
            frame = f"ORDER BY us RANGE BETWEEN {w} PRECEDING AND 1 PRECEDING"
            own, every = f"(PARTITION BY case, key, segment {frame})", f"(PARTITION BY case, segment {frame})"
            columns.append(f"count(CASE WHEN {which} THEN 1 END) OVER {own} AS {_name('n', metric, w)}")
            columns.append(f"sum(CASE WHEN {which} THEN value END) OVER {own} AS {_name('total', metric, w)}")
            columns.append(f"avg(CASE WHEN {which} THEN value END) OVER {own} AS {_name('average', metric, w)}")
            columns.append(
                f"count(CASE WHEN {which} AND key IS NOT NULL THEN 1 END) OVER {every} AS {_name('all', metric, w)}"
            )
    return ", ".join(columns)


def _name(what: str, metric: tuple[str, bool], window: int | None) -> str:
    return f"{what}_{metric[0]}_{int(metric[1])}_{window or 'ever'}"


def as_of(job: Job) -> str:
    """SQL of as_of from request_us, in microseconds, floored as date_trunc does."""
    moment = f"request_us - {job.delay_us}"
    if not job.refresh_us:
        return moment
    unit = "DAY" if job.refresh_us > 3_600_000_000 else "HOUR"
    return f"unix_micros(date_trunc('{unit}', timestamp_micros({moment})))"


def _placed(job: Job, rows: str, at: str) -> str:
    """The rows with their key and segment; a profile is that of the moment `at`."""
    source, column = (job.segment or ".").split(".")
    if job.entity == "author":
        return f"SELECT r.*, v.author_id AS key, NULL AS segment FROM {_versions_at(rows, 'item', at)}"
    if source in ("user", "item"):
        return f"SELECT r.*, r.{job.entity}_id AS key, v.{column} AS segment FROM {_versions_at(rows, source, at)}"
    segment = f"r.{column}" if source == "impression" else "NULL"
    return f"SELECT r.*, r.{job.entity}_id AS key, {segment} AS segment FROM {rows} AS r"


def _versions_at(rows: str, entity: str, at: str) -> str:
    """Left join of the version with the latest valid_from among those that held and had landed."""
    numbered = f"(SELECT *, row_number() OVER (ORDER BY {at}) AS n FROM {rows})"
    held = f"""SELECT n, max_by(struct(v.*), struct(v.valid_from_us, v.landed_us)) AS best FROM {numbered} AS r JOIN {entity}s AS v
        ON v.case = r.case AND v.key = r.{entity}_id AND greatest(v.valid_from_us, v.landed_us) <= r.{at}
        AND (v.valid_to_us IS NULL OR r.{at} < v.valid_to_us) GROUP BY n"""
    return f"(SELECT r.*, h.best AS v FROM {numbered} AS r LEFT JOIN ({held}) AS h ON r.n = h.n) AS r"


def _profiles(spark: SparkSession, job: Job) -> Answer:
    columns = [f.name for f in job.features]
    chosen = ", ".join(f"v.{c.removeprefix(job.entity + '_')} AS {c}" for c in columns)
    rows = spark.sql(f"SELECT case, ask, {chosen} FROM {_versions_at('asks', job.entity, 'request_us')}").collect()
    return {(row["case"], row["ask"]): {c: row[c] for c in columns} for row in rows}


if __name__ == "__main__":
    answers(answer, version=f"Spark {pyspark.__version__}")
