"""All reading and writing of Delta tables: one commit a write, whole days replaced, schemas enforced."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from delta.exceptions import DeltaConcurrentModificationException
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from headrace.arrowsink import WRITTEN_SCHEMA, parquet_sink
from headrace.byname import read_by_name
from headrace.commits import check_alone, conflict, replace_files, transaction_options
from headrace.config import Config
from headrace.creating import ensure_table
from headrace.delta import DeltaFile, delta_files, is_table
from headrace.errors import told_by_tasks
from headrace.hashes import content_hashes, hashes_and_more
from headrace.receipts import Receipt, Run, before_writing
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
    "read",
    "row_counts",
    "table_uri",
    "total_rows",
    "version_of",
    "write_days",
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
        return spark.createDataFrame([], table(config, name).schema)
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


def write_days(frame: DataFrame, config: Config, made: Table, *, days: Sequence[date], extra: str = "") -> int:
    """Replace `days` of a table in one commit of Spark's and return its version; a day without rows is replaced by nothing.

    Columns are taken by name and cast to the table's types; a missing column or a null where none may be is an error,
    never a silent change. `extra` narrows the rows replaced within the days (a table shared by several writers). The log gets
    the bounds of all columns. Where readers do not need those, `write_frame` costs less.
    """
    ensure(config, made)
    run = before_writing()
    shaped = _shaped(frame, made)
    chosen = ", ".join(f"'{day.isoformat()}'" for day in days)
    condition = f"ds IN ({chosen})" + (f" AND {extra}" if extra else "")
    writer = shaped.write.format("delta").mode("overwrite").option("replaceWhere", condition)
    if run is not None and len(days) == 1:  # a commit of Spark's takes one id; more days are guarded by replaceWhere
        writer = writer.options(
            **transaction_options(table_uri(config, made.name), made.name, run, day=days[0], extra=extra)
        )
    try:
        writer.save(table_uri(config, made.name))
    except DeltaConcurrentModificationException as error:
        raise conflict(made.name, days) from error
    _committed(run)
    return version_of(config, made.name)


def write_frame(frame: DataFrame, config: Config, made: Table, *, days: Sequence[date]) -> int:
    """`write_days` by files that tasks write (`write_files`): one job, where Spark's own commit takes five.

    Each day's rows are brought together first, so that many days do not mean many small files.
    """
    ensure(config, made)
    shaped, wanted = _shaped(frame, made), to_arrow_schema(made.schema)
    if len(days) > 1:
        shaped = shaped.repartition(min(len(days), 64), "ds")

    def build(*, sink: tuple[Callable, str]) -> DataFrame:
        end, ends_as = sink
        return map_in_arrow(shaped, lambda batches: end(batch.cast(wanted) for batch in batches), ends_as)

    return write_files(config, made, build, days=days).version


def _shaped(frame: DataFrame, made: Table) -> DataFrame:
    return frame.select(*[F.col(f.name).cast(f.dataType).alias(f.name) for f in made.schema])


@dataclass(frozen=True)
class Written:
    """A commit of files: the table's version, and the sums asked for, per day that has rows."""

    version: int
    sums: dict[date, Counter[str]]


def write_files(
    config: Config, made: Table, build: Callable[..., DataFrame], *, days: Sequence[date], summed: Sequence[str] = ()
) -> Written:
    """Replace `days` of a table, which exists (`ensure`), in one commit by files that tasks write.

    Parameters
    ----------
    build : called with sink=(sink, schema of what it returns)
        Makes the frame whose last step in a task hands `sink` batches of the table's columns.
    summed : whole-number columns to add up on the way
    """
    run = before_writing()
    uri = table_uri(config, made.name)
    target = DeltaTable(uri)  # as it is before the work: what others commit meanwhile is a conflict
    sink = parquet_sink(uri, to_arrow_schema(made.schema), bounded=made.bounded, summed=summed)
    with told_by_tasks():
        written = build(sink=(sink, WRITTEN_SCHEMA)).collect()  # one row a file
    _check_days(uri, {row["ds"] for row in written} - {day.isoformat() for day in days})
    now = int(time.time() * 1000)
    added: list[AddAction | RemoveAction] = [
        AddAction(row["path"], row["size"], {"ds": row["ds"]}, now, True, row["stats"]) for row in written
    ]
    replace_files(uri, made.name, target, added, days=days, ids=run.transactions(made.name, days) if run else {})
    _committed(run)
    check_alone(uri, made.name, days=days, written={row["path"] for row in written})
    sums: dict[date, Counter[str]] = {}
    for row in written:
        sums.setdefault(date.fromisoformat(row["ds"]), Counter()).update(json.loads(row["sums"]))
    return Written(version_of(config, made.name), sums)


def _check_days(uri: str, strangers: set[str]) -> None:
    if strangers:  # they would stand beside what their days hold
        raise ValueError(f"{uri}: rows of {sorted(strangers)}, which are not written; this is a bug in headrace")


def _committed(run: Run | None) -> None:
    if run is not None:
        run.has_committed = True


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
