"""Reading of Delta tables, and what their logs say of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace.byname import read_by_name
from headrace.config import Config
from headrace.creating import ensure_table
from headrace.delta import DeltaFile, delta_files, is_table
from headrace.frames import no_rows
from headrace.hashes import content_hashes, hashes_and_more
from headrace.receipts import Receipt
from headrace.shares import Share
from schemas.columns import Table
from schemas.tables import table

__all__ = [
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


def holds(config: Config, name: str, share: Share, *, days: Sequence[date]) -> bool:
    """Whether a table may hold rows of `share` on these days, from the Delta log."""
    if not exists(config, name):
        return False
    return any(share.split(DeltaTable(table_uri(config, name)), days=days))


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
