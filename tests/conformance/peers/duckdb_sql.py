"""DuckDB: ASOF joins for profiles, an inequality join and filtered aggregates for windows.

Both clocks are written out (happened before as_of, arrived before as_of + delay), since plain SQL lets a careful user
do so. Sums are of DOUBLE, as the value is.
"""

from typing import Any

import duckdb
import pyarrow as pa

from tests.conformance.peers.common import Answer, Job, answers, condition, derived, metrics_of

__all__ = ["answer", "column", "numbers"]

_EVENT = [("case", pa.string()), ("user_id", pa.int64()), ("item_id", pa.int64()), ("scene", pa.string())]
_SCHEMAS = {
    "events": [
        *_EVENT,
        ("action", pa.string()),
        ("value", pa.float64()),
        ("is_first", pa.bool_()),
        ("event_us", pa.int64()),
        ("arrival_us", pa.int64()),
    ],
    "asks": [*_EVENT, ("ask", pa.string()), ("request_us", pa.int64())],
}
_VERSION = [("case", pa.string()), ("key", pa.int64()), ("valid_from_us", pa.int64()), ("valid_to_us", pa.int64())]
_SCHEMAS["users"] = [*_VERSION, ("landed_us", pa.int64()), ("gender", pa.string())]
_SCHEMAS["items"] = [*_VERSION, ("landed_us", pa.int64()), ("author_id", pa.int64()), ("category", pa.string())]


def answer(job: Job) -> Answer:
    """Every feature of every ask."""
    if job.kind == "profile":
        return _profiles(job)
    found: Answer = {}
    for row in numbers(job):

        def number(what: str, metric: tuple[str, bool], window: int | None, row: dict[str, Any] = row) -> Any:
            return row[column(what, metric, window)]

        known = row["known"] > 0 and row["key"] is not None and (job.segment is None or row["segment"] is not None)
        found[row["case"], row["ask"]] = {f.name: derived(f, number, known=known) for f in job.features}
    return found


def numbers(job: Job) -> list[dict[str, Any]]:
    """Per ask its key, segment, as_of, and the aggregates of every metric and window."""
    with _loaded(job) as base:
        base.execute(f"CREATE TABLE log AS {_placed(job, 'events', 'event_us')}")
        base.execute(
            f"CREATE TABLE points AS SELECT *, {_as_of(job)} AS as_of FROM ({_placed(job, 'asks', 'request_us')})"
        )
        visible = f"e.event_us < p.as_of AND e.arrival_us < p.as_of + {job.delay_us}"
        same = " AND e.segment = p.segment" if job.segment else ""
        query = f"""
            WITH own AS (
                SELECT p.case, p.ask, count(e.key) AS met, {_aggregates(job, own=True)} FROM points AS p LEFT JOIN log AS e
                ON e.case = p.case AND e.key = p.key{same} AND {visible} GROUP BY p.case, p.ask
            ), everybody AS (
                SELECT p.case, p.ask, {_aggregates(job, own=False)} FROM points AS p LEFT JOIN log AS e
                ON e.case = p.case AND e.key IS NOT NULL{same} AND {visible} GROUP BY p.case, p.ask
            ), seen AS (
                SELECT p.case, p.ask, count(e.key) AS known FROM points AS p LEFT JOIN log AS e
                ON e.case = p.case AND e.key = p.key AND {visible} GROUP BY p.case, p.ask
            )
            SELECT * FROM points JOIN own USING (case, ask) JOIN everybody USING (case, ask) JOIN seen USING (case, ask)
        """.replace("case,", '"case",').replace(".case", '."case"')
        return _rows(base, query)


def _rows(base: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = base.execute(query)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _loaded(job: Job) -> duckdb.DuckDBPyConnection:
    base = duckdb.connect(config={"threads": 2})
    base.execute(f"SET TimeZone = '{job.timezone if job.refresh_us > 3_600_000_000 else 'UTC'}'")
    for name, fields in _SCHEMAS.items():
        base.register(f"{name}_rows", pa.Table.from_pylist(getattr(job, name), schema=pa.schema(fields)))
        base.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_rows")
    return base


def _as_of(job: Job) -> str:
    moment = f"request_us - {job.delay_us}"
    if not job.refresh_us:
        return moment
    unit = "day" if job.refresh_us > 3_600_000_000 else "hour"
    return f"epoch_us(date_trunc('{unit}', make_timestamptz({moment})))"


def _placed(job: Job, rows: str, at: str) -> str:
    """The rows with their key and segment; a profile is that of the moment `at`."""
    source, attribute = (job.segment or ".").split(".")
    if job.entity == "author":
        return f"SELECT r.*, {_held('author_id', at)} AS key, NULL AS segment FROM {_asof_join(rows, 'item', at)}"
    if source in ("user", "item"):
        return f"SELECT r.*, r.{job.entity}_id AS key, {_held(attribute, at)} AS segment FROM {_asof_join(rows, source, at)}"
    segment = f"r.{attribute}" if source == "impression" else "NULL"
    return f"SELECT r.*, r.{job.entity}_id AS key, {segment} AS segment FROM {rows} AS r"


def _asof_join(rows: str, entity: str, at: str) -> str:
    """The last landing that was known of the latest version that had begun; its columns go through `_held`."""
    known = f"(SELECT *, greatest(valid_from_us, landed_us) AS known_us FROM {entity}s)"
    same = f'r."case" = v."case" AND r.{entity}_id = v.key'
    return f"{rows} AS r ASOF LEFT JOIN {known} AS v ON {same} AND r.{at} >= v.known_us"


def _held(attribute: str, at: str) -> str:
    return f"CASE WHEN v.valid_to_us IS NULL OR r.{at} < v.valid_to_us THEN v.{attribute} END"


def column(what: str, metric: tuple[str, bool], window: int | None) -> str:
    """Name of an aggregate: n, total, average, all or age of a metric and window."""
    return f"{what}_{metric[0]}_{int(metric[1])}_{window or 'ever'}"


def _aggregates(job: Job, *, own: bool) -> str:
    windows = sorted({f.window_us for f in job.features if f.window_us})
    columns = ["1 AS one" if own else "1 AS other"]
    for metric in metrics_of(job).values():
        which = condition(metric)
        for w in windows:
            inside = f"FILTER ({which} AND e.event_us >= p.as_of - {w})"
            if own:
                columns += [
                    f"count(*) {inside} AS {column('n', metric, w)}",
                    f"sum(value) {inside} AS {column('total', metric, w)}",
                ]
                columns.append(f"avg(value) {inside} AS {column('average', metric, w)}")
            else:
                columns.append(f"count(*) {inside} AS {column('all', metric, w)}")
        if own:
            columns.append(
                f"(any_value(p.as_of) - max(e.event_us) FILTER ({which})) / 1e6 AS {column('age', metric, None)}"
            )
    return ", ".join(columns)


def _profiles(job: Job) -> Answer:
    columns = [f.name for f in job.features]
    chosen = ", ".join(f"{_held(c.removeprefix(job.entity + '_'), 'request_us')} AS {c}" for c in columns)
    with _loaded(job) as base:
        query = f'SELECT r."case", r.ask, {chosen} FROM {_asof_join("asks", job.entity, "request_us")}'
        rows = _rows(base, query)
    return {(row["case"], row["ask"]): {c: row[c] for c in columns} for row in rows}


if __name__ == "__main__":
    answers(answer, version=f"DuckDB {duckdb.__version__}")
