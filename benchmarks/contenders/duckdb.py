"""DuckDB on the features benchmark: hourly tiles, then one of five ways to the window sums; `asof` is the fastest.

asof    prefix sums of the tiles, one ASOF join per window edge
probes  union of tiles and window edges, one running sum, edges pivoted into differences
range   union of tiles and points, RANGE frames of 1, 24, 168 and 720 hours
prefix  union of tiles and points, frames from the beginning of time to each edge, differences
expand  every point joined to the tiles of its last 30 days, grouped (slow where keys are hot)
"""

from pathlib import Path

import duckdb

from benchmarks.contenders.common import Job, contend
from benchmarks.names import COUNTED, ENTITIES, METRICS, SUMMED, WINDOWS, feature

__all__ = ["HOWS", "build"]

HOWS = ("asof", "probes", "prefix", "range", "expand")
_HOUR = "(epoch_us({}) // 3600000000)::INTEGER"
_NAMES = ", ".join(METRICS)
_ZEROS = ", ".join("0::BIGINT" for _ in METRICS)


def build(job: Job) -> None:
    """Write impression_id and the 48 features of every spine row to `out/part-0.parquet`."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "8GB", "preserve_insertion_order": False}) as base:
        base.execute(f"SET temp_directory = '{job.out}/.spill'")
        base.execute("SET TimeZone = 'UTC'")
        job.clock.start()
        for entity in ENTITIES:
            with job.clock.phase(f"{entity} tiles"):
                base.execute(_tiles(job.world, entity))
                base.execute(_points(job.world, entity))
            with job.clock.phase(f"{entity} windows"):
                base.execute(f"CREATE TABLE sums AS {_WAYS[job.how]()}")
                base.execute(f"CREATE TABLE features_{entity} AS {_named(entity)}")
                base.execute("DROP TABLE sums; DROP TABLE tiles; DROP TABLE points")
        with job.clock.phase("join and write"):
            base.execute(
                f"COPY ({_joined(job.world)}) TO '{job.out}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)"
            )


def _tiles(world: Path, entity: str) -> str:
    """key x hour: the six additive metrics."""
    hour = _HOUR.format("event_ts")
    actions = [name.removesuffix("_seconds") for name in COUNTED[1:]]
    seen = ", ".join(["1 AS impression_count", *(f"0 AS {m}" for m in METRICS[1:])])
    done = ", ".join(["0", *(f"(action = '{action}')::INTEGER" for action in actions)])
    micros = "coalesce(round_even(value * 1e6, 0)::BIGINT, 0)"
    sums = ", ".join(f"sum({m})::BIGINT AS {m}" for m in METRICS)
    return f"""
        CREATE TABLE tiles AS SELECT key, hour, {sums} FROM (
            SELECT {entity}_id AS key, {hour} AS hour, {seen} FROM '{world}/impressions/*/*.parquet'
            UNION ALL SELECT {entity}_id, {hour}, {done}, {micros} FROM '{world}/engagements/*/*.parquet'
        ) GROUP BY key, hour"""


def _points(world: Path, entity: str) -> str:
    """key x as_of hour that some spine row asks for."""
    hour = _HOUR.format("request_ts")
    return f"CREATE TABLE points AS SELECT DISTINCT {entity}_id AS key, {hour} AS hour FROM '{world}/spine/*.parquet'"


def _each(text: str) -> str:
    """The text for every metric and window, named `metric_hours`; {m} and {h} stand for them."""
    return ", ".join(f"{text.format(m=m, h=h)} AS {m}_{h}" for m in METRICS for h in WINDOWS.values())


def _probes() -> str:
    # A tile counts from the hour after it; an edge probe reads the running sum of all tiles before its hour.
    edges = " UNION ALL ".join(
        f"SELECT key, hour - {back} AS hour, {back} AS back, 0, {_ZEROS} FROM points" for back in (0, *WINDOWS.values())
    )
    running = ", ".join(f"sum({m}) OVER upto AS {m}" for m in ("tiles_before", *METRICS))
    differences = _each("(sum({m}) FILTER (back = 0) - sum({m}) FILTER (back = {h}))::BIGINT")
    return f"""
        SELECT key, hour + back AS hour, sum(tiles_before) FILTER (back = 0) > 0 AS known, {differences} FROM (
            SELECT key, hour, back, {running} FROM (
                SELECT key, hour + 1 AS hour, -1 AS back, 1 AS tiles_before, {_NAMES} FROM tiles UNION ALL {edges}
            ) WINDOW upto AS (PARTITION BY key ORDER BY hour)
        ) WHERE back >= 0 GROUP BY ALL"""


def _asof() -> str:
    running = ", ".join(f"(sum({m}) OVER upto)::BIGINT AS {m}" for m in METRICS)
    joins = " ".join(
        f"ASOF LEFT JOIN prefix AS p{back} ON p.key = p{back}.key AND p.hour - {back} > p{back}.hour"
        for back in (0, *WINDOWS.values())
    )
    return f"""
        WITH prefix AS MATERIALIZED (
            SELECT key, hour, {running} FROM tiles WINDOW upto AS (PARTITION BY key ORDER BY hour)
        ) SELECT p.key, p.hour, p0.key IS NOT NULL AS known, {_each("p0.{m} - coalesce(p{h}.{m}, 0)")}
        FROM points AS p {joins}"""


def _range() -> str:
    frames = ", ".join(
        f"w{h} AS (PARTITION BY key ORDER BY hour RANGE BETWEEN {h} PRECEDING AND 1 PRECEDING)"
        for h in WINDOWS.values()
    )
    # A point must not make its key known to a later point: only tiles weigh.
    before = "PARTITION BY key ORDER BY hour RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    known = f"coalesce(sum(is_tile) OVER ({before}), 0) > 0"
    return f"""
        SELECT * EXCLUDE (is_tile) FROM (
            SELECT key, hour, is_tile, {known} AS known, {_each("coalesce(sum({m}) OVER w{h}, 0)::BIGINT")} FROM (
                SELECT key, hour, 1 AS is_tile, {_NAMES} FROM tiles
                UNION ALL SELECT key, hour, 0, {_ZEROS} FROM points
            ) WINDOW {frames}
        ) WHERE is_tile = 0"""


def _prefix() -> str:
    backs = (0, *WINDOWS.values())
    frames = ", ".join(
        f"b{back} AS (PARTITION BY key ORDER BY hour RANGE BETWEEN UNBOUNDED PRECEDING AND {back + 1} PRECEDING)"
        for back in backs
    )
    sums = ", ".join(f"coalesce(sum({m}) OVER b{back}, 0) AS {m}_before_{back}" for m in METRICS for back in backs)
    return f"""
        SELECT key, hour, tiles_before > 0 AS known, {_each("({m}_before_0 - {m}_before_{h})::BIGINT")} FROM (
            SELECT key, hour, is_tile, coalesce(sum(is_tile) OVER b0, 0) AS tiles_before, {sums} FROM (
                SELECT key, hour, 1 AS is_tile, {_NAMES} FROM tiles
                UNION ALL SELECT key, hour, 0, {_ZEROS} FROM points
            ) WINDOW {frames}
        ) WHERE is_tile = 0"""


def _expand() -> str:
    longest = max(WINDOWS.values())
    sums = _each("coalesce(sum(t.{m}) FILTER (t.hour >= p.hour - {h}), 0)::BIGINT")
    return f"""
        SELECT p.key, p.hour, any_value(f.first_hour) < p.hour IS TRUE AS known, {sums} FROM points AS p
        LEFT JOIN (SELECT key, min(hour) AS first_hour FROM tiles GROUP BY key) AS f ON p.key = f.key
        LEFT JOIN tiles AS t ON p.key = t.key AND t.hour < p.hour AND t.hour >= p.hour - {longest}
        GROUP BY p.key, p.hour"""


_WAYS = {"probes": _probes, "asof": _asof, "prefix": _prefix, "range": _range, "expand": _expand}


def _named(entity: str) -> str:
    """Windows sums under their feature names; an unknown key's are null, sums of values are seconds."""
    columns = [
        f"CASE WHEN known THEN {m}_{h}{'::DOUBLE / 1e6' if m.startswith(f'{SUMMED}_sum') else ''} END"
        f" AS {feature(entity, m, window)}"
        for m in METRICS
        for window, h in WINDOWS.items()
    ]
    return f"SELECT key, hour, {', '.join(columns)} FROM sums"


def _joined(world: Path) -> str:
    hour = _HOUR.format("s.request_ts")
    joins = " ".join(f"LEFT JOIN features_{e} AS {e} ON s.{e}_id = {e}.key AND {hour} = {e}.hour" for e in ENTITIES)
    columns = ", ".join(f"{e}.* EXCLUDE (key, hour)" for e in ENTITIES)
    return f"SELECT s.impression_id, {columns} FROM '{world}/spine/*.parquet' AS s {joins}"


if __name__ == "__main__":
    contend(build, hows=HOWS)
