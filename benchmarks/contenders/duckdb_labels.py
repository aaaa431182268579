"""The same labels and a hash filter by hand in DuckDB: one query over the same Parquet files, the kept rows to Parquet."""

import duckdb

from benchmarks.contenders.common import Job, contend

__all__ = ["build"]

_HOUR_US = 3_600_000_000
_WINDOWS = {"click": 1, "like": 24, "collect": 24}  # hours
_RATE = 0.1


def build(job: Job) -> dict[str, object]:
    """Write the kept rows with labels, rate and weight to `out/part-0.parquet`; rows kept."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "8GB", "preserve_insertion_order": False}) as base:
        base.execute(f"SET temp_directory = '{job.out}/.spill'")
        base.execute("SET TimeZone = 'UTC'")
        job.clock.start()
        base.execute(f"COPY ({_query(job)}) TO '{job.out}/part-0.parquet' (FORMAT parquet, COMPRESSION zstd)")
        job.clock.stop()
        found = base.execute(f"SELECT count(*) FROM '{job.out}/part-0.parquet'").fetchone()
    assert found is not None
    return {"kept": found[0]}


def _query(job: Job) -> str:
    def rows(table: str) -> str:
        return f"read_parquet('{job.world}/{table}/*/*.parquet', hive_partitioning = true)"

    happened = ", ".join(
        f"coalesce(bool_or(e.action = '{a}' AND e.us < i.us + {h * _HOUR_US}), false)::INTEGER AS {a}"
        for a, h in _WINDOWS.items()
    )
    watched = f"sum(e.units) FILTER (e.action = 'watch' AND e.us < i.us + {24 * _HOUR_US})"
    return f"""
        WITH e AS (
            SELECT impression_id, action, epoch_us(event_ts) AS us,
                arg_min(coalesce(round_even(value * 1e6, 0)::BIGINT, 0), effective_arrival_ts) AS units
            FROM {rows("engagements")} WHERE impression_id IS NOT NULL GROUP BY ALL
        ), paired AS (
            SELECT i.impression_id, {happened}, {watched} AS units,
            FROM (SELECT impression_id, epoch_us(event_ts) AS us FROM {rows("impressions")}) AS i
            JOIN e ON e.impression_id = i.impression_id AND e.us >= i.us GROUP BY i.impression_id
        ), labelled AS (
            SELECT i.*, greatest(coalesce(click, 0), coalesce("like", 0), coalesce(collect, 0)) AS label_click,
                coalesce("like", 0) AS label_like, coalesce(collect, 0) AS label_collect,
                coalesce(units / 1e6, CASE WHEN duration_s > 0 THEN 0.0 END) AS label_watch_s, duration_s
            FROM {rows("impressions")} AS i LEFT JOIN paired USING (impression_id)
            LEFT JOIN {rows("item_profile")} AS p ON i.item_id = p.item_id AND p.valid_from <= i.request_ts
        ) SELECT * EXCLUDE (duration_s), label_watch_s / CASE WHEN duration_s > 0 THEN duration_s END AS label_completion,
            CASE WHEN label_click = 1 THEN 1.0 ELSE {_RATE} END AS sampling_rate, 1.0 / sampling_rate AS sample_weight
        FROM labelled WHERE label_click = 1 OR hash(impression_id) % 1000000 < {int(_RATE * 1_000_000)}"""


if __name__ == "__main__":
    contend(build)
