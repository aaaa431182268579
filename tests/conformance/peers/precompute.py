"""What a pipeline in front of a feature store would have written: one row per key and refresh, made by DuckDB.

A row of as_of T is published, and stamped, at T + delay; it knows what had arrived by then. For each request the rows
of its own as_of and of the refreshes before and after are made, and a row only where the pair had been met by then.
"""

from dataclasses import replace
from typing import Any

from tests.conformance.peers import duckdb_sql
from tests.conformance.peers.common import Job, derived

__all__ = ["with_ready_rows"]


def with_ready_rows(job: Job) -> Job:
    """The job with `ready` rows (case, key, segment, stamp_us, features), where there is a refresh to make them at."""
    if job.kind == "profile" or not job.refresh_us:
        return job
    asks: list[dict[str, Any]] = []
    for n in (-1, 0, 1):
        asks += [{**a, "ask": f"{n} {a['ask']}", "request_us": a["request_us"] + n * job.refresh_us} for a in job.asks]
    found = {}
    for row in duckdb_sql.numbers(replace(job, asks=asks)):
        if not row["met"]:
            continue

        def number(what: str, metric: tuple[str, bool], window: int | None, row: dict[str, Any] = row) -> Any:
            return row[duckdb_sql.column(what, metric, window)]

        place = {
            "case": row["case"],
            "key": row["key"],
            "segment": row["segment"],
            "stamp_us": row["as_of"] + job.delay_us,
        }
        values = {f.name: derived(f, number, known=True) for f in job.features}
        found[tuple(place.values())] = {**place, **values}
    return replace(job, ready=list(found.values()))
