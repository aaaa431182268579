"""Small reads of Delta tables by Spark: the files by their names, from the log that deltalake reads.

Spark's own Delta reader runs jobs to list a table, and more of them in every query that reads it; for a handful of files
that costs more than the reading. A frame holds the version that stood when it was made.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from headrace.delta import DeltaFile, files_of
from headrace.frames import no_rows

__all__ = ["read_by_name", "stored_schema"]

_MOST_FILES = 32  # Spark looks at more than that by a job of its own
_GLOB = set("{}[]*?\\")  # Spark takes these for patterns


def stored_schema(standing: DeltaTable) -> t.StructType:
    """The columns of a table as its log has them."""
    return t.StructType.fromJson(json.loads(standing.schema().to_json()))


def read_by_name(spark: SparkSession, uri: str, *, chosen: Callable[[date], bool]) -> DataFrame | None:
    """Rows of the days that are `chosen`, where few files hold them; None where Delta's own reader is the one to ask.

    That is where there are many files, or some that are more than plain Parquet below their day: rows deleted beside a
    file, renamed columns, files that lie elsewhere.
    """
    standing = DeltaTable(uri)
    if standing.protocol().min_reader_version > 1:
        return None
    files = [f for f in files_of(standing) if chosen(f.ds) and f.rows != 0]
    if len(files) > _MOST_FILES or _GLOB & set(uri) or not all(_plain(file) for file in files):
        return None
    return _frame(spark, uri, files, schema=stored_schema(standing))


def _plain(file: DeltaFile) -> bool:
    return file.path.startswith(f"ds={file.ds}/") and not _GLOB & set(file.path)


def _frame(spark: SparkSession, uri: str, files: Sequence[DeltaFile], *, schema: t.StructType) -> DataFrame:
    if not files:
        return no_rows(spark, schema)
    reader = spark.read.schema(schema).option("basePath", uri)
    return reader.parquet(*[f"{uri}/{file.path}" for file in files]).select(*schema.names)
