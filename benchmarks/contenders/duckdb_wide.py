"""DuckDB on the wide benchmark: for each group hourly tiles, prefix sums, and one ASOF join per window edge."""

from pathlib import Path

import duckdb

from benchmarks.contenders.common import Job, contend
from benchmarks.wideness import SETS, WideGroup, WideMetric, wide_groups

__all__ = ["build"]

_HOUR = "(epoch_us({}) // 3600000000)::INTEGER"


def build(job: Job) -> None:
    """Write impression_id and the features of every spine row to `out/part-0.parquet`."""
    groups = wide_groups(job.how)
    with duckdb.connect(config={"threads": 2, "memory_limit": "8GB", "preserve_insertion_order": False}) as base:
        base.execute(f"SET temp_directory = '{job.out}/.spill'")
        base.execute("SET TimeZone = 'UTC'")
        job.clock.start()
        for group in groups:
            base.execute(f"CREATE TABLE features_{group.name} AS {_group(job.world, group)}")
        target = f"'{job.out}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)"
        base.execute(f"COPY ({_joined(job.world, groups)}) TO {target}")


def _seen(metric: WideMetric) -> str:
    return "1" if metric.action == "impression" else "0"


def _done(metric: WideMetric) -> str:
    if metric.above is None:
        return f"(action = '{metric.action}')::INTEGER"
    units = (
        f"CASE WHEN action = '{metric.action}' AND value > {metric.above} THEN round_even(value * 1e6, 0)::BIGINT END"
    )
    return f"coalesce({units}, 0)"


def _group(world: Path, group: WideGroup) -> str:
    """key x as_of hour that some spine row asks for: the group's columns, null for a key not known by then."""
    key, hour = f"{group.entity}_id AS key", _HOUR.format("event_ts")
    seen = ", ".join(f"{_seen(m)} AS {m.name}" for m in group.metrics)
    done = ", ".join(f"{_done(m)} AS {m.name}" for m in group.metrics)
    sums = ", ".join(f"sum({m.name})::BIGINT AS {m.name}" for m in group.metrics)
    running = ", ".join(f"(sum({m.name}) OVER upto)::BIGINT AS {m.name}" for m in group.metrics)
    edges = " ".join(
        f"ASOF LEFT JOIN prefix AS p{back} ON p.key = p{back}.key AND p.hour - {back} > p{back}.hour"
        for back in (0, *group.windows.values())
    )
    return f"""
        WITH tiles AS (
            SELECT key, hour, {sums} FROM (
                SELECT {key}, {hour} AS hour, {seen} FROM '{world}/impressions/*/*.parquet'
                UNION ALL SELECT {key}, {hour} AS hour, {done} FROM '{world}/engagements/*/*.parquet'
            ) GROUP BY ALL
        ), prefix AS MATERIALIZED (
            SELECT key, hour, {running} FROM tiles WINDOW upto AS (PARTITION BY key ORDER BY hour)
        ), points AS (
            SELECT DISTINCT {key}, {_HOUR.format("request_ts")} AS hour FROM '{world}/spine/*.parquet'
        ) SELECT p.key, p.hour, {_columns(group)} FROM points AS p {edges}"""


def _columns(group: WideGroup) -> str:
    columns = []
    for metric in group.metrics:
        scale = "" if metric.above is None else "::DOUBLE / 1e6"
        for window, hours in group.windows.items():
            value = f"(p0.{metric.name} - coalesce(p{hours}.{metric.name}, 0)){scale}"
            columns.append(f"CASE WHEN p0.key IS NOT NULL THEN {value} END AS {group.column(metric, window)}")
    return ", ".join(columns)


def _joined(world: Path, groups: list[WideGroup]) -> str:
    hour = _HOUR.format("s.request_ts")
    joins = " ".join(
        f"LEFT JOIN features_{g.name} AS {g.name} ON s.{g.entity}_id = {g.name}.key AND {hour} = {g.name}.hour"
        for g in groups
    )
    columns = ", ".join(f"{g.name}.* EXCLUDE (key, hour)" for g in groups)
    return f"SELECT s.impression_id, {columns} FROM '{world}/spine/*.parquet' AS s {joins}"


if __name__ == "__main__":
    contend(build, hows=SETS)
