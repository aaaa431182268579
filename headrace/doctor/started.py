"""Spark itself, tried: a session, a job through a Python worker, a Delta table on the storage. The one part that starts a JVM."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.config import Config
from headrace.doctor.check import Check, guarded, ok
from headrace.doctor.storage import temporary_folder
from headrace.session import spark_session
from headrace.workers import map_in_arrow

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["check_session", "check_started"]


def check_started(config: Config) -> Iterator[Check]:
    """Start a session, try it, stop it."""
    begun = time.monotonic()
    session = spark_session(config.spark, app="headrace doctor")
    try:
        yield ok("Spark session", f"{session.sparkContext.master} started in {time.monotonic() - begun:.1f} s")
        yield from check_session(session, root=config.root)
    finally:
        with suppress(Exception):  # what ended it is told, not that it had ended
            session.stop()


def check_session(session: "SparkSession", *, root: str) -> Iterator[Check]:
    """A Python worker of the session answers, and it writes and reads a Delta table under the root, which is then gone."""
    yield from guarded("Python worker", lambda: [_worker(session)])
    yield from guarded("Delta table", lambda: [_table(session, root)])


def _worker(session: "SparkSession") -> Check:
    begun = time.monotonic()
    (row,) = map_in_arrow(session.range(1), _next, "id bigint").collect()
    if row.id != 1:
        raise ValueError(f"found {row.id} from the worker, wanted 1")
    return ok("Python worker", f"a job of one row in {time.monotonic() - begun:.1f} s")


def _next(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"id": [value + 1 for value in batch.column(0).to_pylist()]})


def _table(session: "SparkSession", root: str) -> Check:
    begun = time.monotonic()
    with temporary_folder(root) as folder:
        session.range(1).write.format("delta").save(f"{folder}/table")
        written = time.monotonic()
        rows = session.read.format("delta").load(f"{folder}/table").count()
    if rows != 1:
        raise ValueError(f"found {rows} rows in a table of one, wanted 1")
    took = f"written in {written - begun:.1f} s, read in {time.monotonic() - written:.1f} s"
    return ok("Delta table", f"{took} at {root}")
