"""All writing of Delta tables: files by tasks, one commit a write, whole days replaced, schemas enforced."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from headrace.arrowsink import WRITTEN_SCHEMA, parquet_sink
from headrace.commits import check_alone, replace_files
from headrace.config import Config
from headrace.errors import told_by_tasks
from headrace.receipts import before_writing
from headrace.shares import Share
from headrace.tables import ensure, read, table_uri, version_of
from headrace.workers import map_in_arrow
from schemas.columns import Table

__all__ = ["Written", "write_files", "write_frame"]


@dataclass(frozen=True)
class Written:
    """A commit of files: the table's version, and rows and the sums asked for, per day that has rows."""

    version: int
    rows: Counter[date]
    sums: dict[date, Counter[str]]


def write_frame(
    frame: DataFrame,
    config: Config,
    made: Table,
    *,
    days: Sequence[date],
    share: Share | None = None,
    summed: Sequence[str] = (),
    gathered: bool = True,
) -> Written:
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
    parts = [_by_day(rows.where(chosen), days) for chosen in share.parts()]
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
