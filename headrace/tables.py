"""All reading and writing of Delta tables: one commit a write, whole days replaced, schemas enforced."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from headrace.arrowsink import WRITTEN_SCHEMA, parquet_sink
from headrace.byname import read_by_name
from headrace.commits import check_alone, replace_files
from headrace.config import Config
from headrace.creating import ensure_table
from headrace.delta import DeltaFile, delta_files, is_table
from headrace.errors import told_by_tasks
from headrace.frames import no_rows
from headrace.hashes import content_hashes, hashes_and_more
from headrace.receipts import Receipt, before_writing
from headrace.shares import Share
from headrace.workers import map_in_arrow
from schemas.columns import Table
from schemas.tables import table

__all__ = [
    "Written",
    "checked_against",
    "committed_facts",
    "committed_hashes",
    "content_hashes",
    "ensure",
    "exists",
    "files",
    "first_event_day",
    "holds",
    "read",
    "row_counts",
    "table_uri",
    "total_rows",
    "version_of",
    "write_files",
    "write_frame",
]


def table_uri(config: Config, name: str) -> str:
    """Where a table lies."""
    return f"{config.root}/{name}"


def exists(config: Config, name: str) -> bool:
    """Whether the table has ever been written."""
    return is_table(table_uri(config, name))


def read(
    spark: SparkSession,
    config: Config,
    name: str,
    *,
    first: date | None = None,
    last: date | None = None,
    days: Iterable[date] | None = None,
) -> DataFrame:
    """Rows of a table, of some days if asked; a table that was never written is empty."""
    if not exists(config, name):
        return no_rows(spark, table(config, name).schema)
    first = max(filter(None, (config.start_ds, first)), default=None)  # history begins there, whatever was built before
    wanted = None if days is None else set(days)

    def chosen(ds: date) -> bool:
        return (first is None or ds >= first) and (last is None or ds <= last) and (wanted is None or ds in wanted)

    few = read_by_name(spark, table_uri(config, name), chosen=chosen)
    if few is not None:
        return few
    frame = spark.read.format("delta").load(table_uri(config, name))
    if first is not None:
        frame = frame.where(F.col("ds") >= F.lit(first))
    if last is not None:
        frame = frame.where(F.col("ds") <= F.lit(last))
    return frame if wanted is None else frame.where(F.col("ds").isin(wanted))


def write_frame(
    frame: DataFrame,
    config: Config,
    made: Table,
    *,
    days: Sequence[date],
    share: Share | None = None,
    summed: Sequence[str] = (),
    gathered: bool = True,
) -> "Written":
    """Replace `days` of a table in one commit by the rows of a frame; a day without rows is replaced by nothing.

    Columns are taken by name and cast to the table's types; a missing column or a null where none may be is an error, never
    a silent change. Tasks write the files (`write_files`): one job, where Spark's own commit takes five.

    Parameters
    ----------
    share : of a table that several write: replace only these rows, which must be all of the frame's
    summed : whole-number or boolean columns to add up on the way
    gathered : bring each day's rows together first, so that many days do not mean many small files; not for input that lies
        by day already
    """
    ensure(config, made)
    if share is not None and not share.is_apart(DeltaTable(table_uri(config, made.name)), days=days):
        _set_apart(frame.sparkSession, config, made, days=days, share=share)
    frames = [_by_day(frame, days) if gathered else frame]
    return write_files(config, made, _by_tasks(frames, made), days=days, share=share, summed=summed)


def _set_apart(spark: SparkSession, config: Config, made: Table, *, days: Sequence[date], share: Share) -> None:
    """Rewrite days in which a file holds rows of `share` beside those of others, as OPTIMIZE leaves them."""
    rows = read(spark, config, made.name, days=days)
    parts = [_by_day(rows.where(chosen), days) for chosen in (share.rows(), ~share.rows())]
    write_files(config, made, _by_tasks(parts, made), days=days, told=[share.column], named=False)
    share.check_apart(table_uri(config, made.name), days=days)


def _by_day(frame: DataFrame, days: Sequence[date]) -> DataFrame:
    return frame.repartition(min(len(days), 64), "ds") if len(days) > 1 else frame


def _by_tasks(frames: Sequence[DataFrame], made: Table) -> Callable[..., DataFrame]:
    """What `write_files` builds by: every frame's rows go into files of their own."""
    wanted = to_arrow_schema(made.schema)

    def build(*, sink: tuple[Callable, str]) -> DataFrame:
        end, ends_as = sink

        def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return end(batch.cast(wanted) for batch in batches)

        return reduce(DataFrame.unionAll, [map_in_arrow(_shaped(frame, made), run, ends_as) for frame in frames])

    return build


def _shaped(frame: DataFrame, made: Table) -> DataFrame:
    return frame.select(*[F.col(f.name).cast(f.dataType).alias(f.name) for f in made.schema])


@dataclass(frozen=True)
class Written:
    """A commit of files: the table's version, and rows and the sums asked for, per day that has rows."""

    version: int
    rows: Counter[date]
    sums: dict[date, Counter[str]]


def write_files(
    config: Config,
    made: Table,
    build: Callable[..., DataFrame],
    *,
    days: Sequence[date],
    summed: Sequence[str] = (),
    share: Share | None = None,
    told: Sequence[str] = (),
    named: bool = True,
) -> Written:
    """Replace `days` of a table, which exists (`ensure`), in one commit by files that tasks write.

    Parameters
    ----------
    build : called with sink=(sink, schema of what it returns)
        Makes the frame whose last step in a task hands `sink` batches of the table's columns.
    summed : whole-number or boolean columns to add up on the way
    share : of a table that several write: replace only the files of these rows
    told : texts whose least and greatest go into the log, beside the timestamps' and the share's
    named : the commit bears the run's transaction ids; not where it only moves rows that stand
    """
    run = before_writing()
    uri = table_uri(config, made.name)
    target = DeltaTable(uri)  # as it is before the work: what others commit meanwhile is a conflict
    told = [*told, *([share.column] if share else [])]
    sink = parquet_sink(uri, to_arrow_schema(made.schema), bounded=made.bounded, summed=summed, told=told)
    with told_by_tasks():
        written = build(sink=(sink, WRITTEN_SCHEMA)).collect()  # one row a file
    _check_days(uri, {row["ds"] for row in written} - {day.isoformat() for day in days})
    now = int(time.time() * 1000)
    added = [AddAction(row["path"], row["size"], {"ds": row["ds"]}, now, True, row["stats"]) for row in written]
    suffix = f"/{share.begins}" if share else ""
    ids = (
        {f"{key}{suffix}": number for key, number in run.transactions(made.name, days).items()} if run and named else {}
    )
    replace_files(uri, made.name, target, added, days=days, ids=ids, share=share)
    if run is not None:
        run.has_committed = True
    check_alone(uri, made.name, days=days, written={row["path"] for row in written}, share=share)
    return Written(version_of(config, made.name), *_added_up(written))


def _added_up(written: Iterable[Row]) -> tuple[Counter[date], dict[date, Counter[str]]]:
    rows, sums = Counter[date](), dict[date, Counter[str]]()
    for row in written:
        day = date.fromisoformat(row["ds"])
        rows[day] += json.loads(row["stats"])["numRecords"]
        sums.setdefault(day, Counter()).update(json.loads(row["sums"]))
    return rows, sums


def _check_days(uri: str, strangers: set[str]) -> None:
    if strangers:  # they would stand beside what their days hold
        raise ValueError(f"{uri}: rows of {sorted(strangers)}, which are not written; this is a bug in headrace")


def holds(config: Config, name: str, share: Share, *, days: Sequence[date]) -> bool:
    """Whether a table may hold rows of `share` on these days, from the Delta log."""
    if not exists(config, name):
        return False
    standing = DeltaTable(table_uri(config, name))
    return bool(share.files(standing, days=days)) or not share.is_apart(standing, days=days)


def ensure(config: Config, made: Table) -> None:
    """`ensure_table` of a table of ours."""
    ensure_table(table_uri(config, made.name), made)


def files(
    config: Config, name: str, *, last: date | None = None, days: Sequence[date] | None = None
) -> list[DeltaFile]:
    """Data files of a table with whole URIs as paths, of some days if asked; none of a table never written."""
    if not exists(config, name):
        return []
    uri = table_uri(config, name)
    first, last = config.start_ds or date.min, last or date.max
    found = [f for f in delta_files(uri, days=days) if f.rows and first <= f.ds <= last]
    return [replace(f, path=f"{uri}/{f.path}") for f in found]


def version_of(config: Config, name: str) -> int:
    """Latest Delta version."""
    return int(DeltaTable(table_uri(config, name)).version())


def row_counts(config: Config, name: str, *, days: Sequence[date]) -> dict[date, int]:
    """Committed rows per day, from the Delta log; nothing is scanned."""
    counts = dict.fromkeys(days, 0)
    if not exists(config, name):
        return counts
    for file in delta_files(table_uri(config, name), days=days):
        counts[file.ds] += file.rows
    return counts


def committed_hashes(
    spark: SparkSession, config: Config, name: str, *, days: Sequence[date], unhashed: Sequence[str] = ()
) -> dict[date, str]:
    """`content_hashes` of what is committed, read back; days that the log says are empty are not scanned."""
    return {
        day: text for day, (text, _) in committed_facts(spark, config, name, [], days=days, unhashed=unhashed).items()
    }


def committed_facts(
    spark: SparkSession,
    config: Config,
    name: str,
    more: Sequence[Column],
    *,
    days: Sequence[date],
    unhashed: Sequence[str] = (),
) -> dict[date, tuple[str, dict[str, Any]]]:
    """`committed_hashes`, and aggregates by their alias from the same scan."""
    nothing: dict[date, tuple[str, dict[str, Any]]] = {day: ("empty", {}) for day in days}
    filled = [day for day, rows in row_counts(config, name, days=days).items() if rows]
    if not filled:
        return nothing
    frame = read(spark, config, name, days=filled).drop(*unhashed)
    return nothing | hashes_and_more(frame, more, days=filled)


def first_event_day(config: Config, name: str, *, days: Sequence[date]) -> date | None:
    """UTC day of the earliest event_ts in `days`, from the Delta log; None where the log does not say."""
    files = (
        [file for file in delta_files(table_uri(config, name), days=days) if file.rows] if exists(config, name) else []
    )
    moments = [file.bounds["event_ts"][0] for file in files if file.bounds and "event_ts" in file.bounds]
    if not moments or len(moments) < len(files):
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=min(moments))).date()


def total_rows(config: Config, name: str) -> int:
    """Committed rows of a table, from the Delta log."""
    if not exists(config, name):
        return 0
    return sum(file.rows for file in delta_files(table_uri(config, name)))


def checked_against(config: Config, receipts: dict[date, Receipt], source: str) -> dict[date, Receipt]:
    """Set rows_in to the committed rows of `source`, so that a join that lost or doubled rows fails the accounting."""
    seen = row_counts(config, source, days=list(receipts))
    return {day: replace(receipt, rows_in=seen[day]) for day, receipt in receipts.items()}
