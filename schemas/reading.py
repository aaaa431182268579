"""Landing files to one raw frame per set of like files: the file's own columns, its day and its path."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from headrace.errors import InputError
from schemas.landing import LandingFile

__all__ = ["CORRUPT", "DAY", "SOURCE", "alike", "read_raw", "unreadable_files"]

_OWN_DS = "_own_ds"
CORRUPT, DAY, SOURCE = "_corrupt_record", "_ds", "_source_file"


def alike(files: Sequence[LandingFile]) -> list[list[LandingFile]]:
    """Files of one format and the same columns together, in a stable order."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[LandingFile]] = {}
    for file in files:
        groups.setdefault((file.format, file.columns), []).append(file)
    return [groups[key] for key in sorted(groups)]


def read_raw(spark: SparkSession, files: list[LandingFile], *, wanted: Sequence[str]) -> DataFrame:
    """Read like files as they are.

    Text formats give every column as text, so that nothing is parsed before it is checked; a row that the parser
    cannot split is kept in `_corrupt_record`. JSON lines are asked for `wanted` columns, as text.
    """
    paths = [file.path for file in files]
    # The day comes from the folder, once a file, by Spark's partition discovery below the table's folder.
    reader = spark.read.option("basePath", paths[0].rsplit("/ds=", 1)[0])
    if files[0].format == "parquet":
        raw = reader.parquet(*paths)
        corrupt: Column = F.lit(None).cast("string")
    else:
        names = wanted if files[0].format == "json" else [_OWN_DS if n == "ds" else n for n, _ in files[0].columns]
        schema = t.StructType([t.StructField(n, t.StringType()) for n in [*names, CORRUPT]])
        reader = reader.schema(schema).option("columnNameOfCorruptRecord", CORRUPT).option("mode", "PERMISSIVE")
        is_csv = files[0].format == "csv"
        raw = reader.csv(paths, header=True, escape='"') if is_csv else _json_lines(spark, paths, schema)
        corrupt = F.col(CORRUPT)
    nanos = {name for name, kind in files[0].columns if kind.startswith("timestamp[ns")}
    own = [
        _cut_nanos(F.col(f"`{name}`")).alias(name) if name in nanos else F.col(f"`{name}`")
        for name in raw.columns
        if name not in (CORRUPT, _OWN_DS, "ds")
    ]
    return raw.select(
        *own, corrupt.alias(CORRUPT), F.col("ds").cast("date").alias(DAY), F.col("_metadata.file_path").alias(SOURCE)
    )


def _json_lines(spark: SparkSession, paths: list[str], schema: t.StructType) -> DataFrame:
    """One object a line. Spark's own reader passes over whatever follows the first object; here such a line is corrupt."""
    lines = spark.read.option("basePath", paths[0].rsplit("/ds=", 1)[0]).text(paths)
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    parsed = F.from_json("value", schema, options)
    several = F.col("value").rlike(r"\}\s*\{")
    rows = lines.where(F.trim("value") != "").withColumns({"_parsed": parsed, "_several": several})
    whole = [F.when(~F.col("_several"), F.col("_parsed")[f.name]).alias(f.name) for f in schema if f.name != CORRUPT]
    corrupt = F.when(F.col("_several") | F.col("_parsed").isNull(), F.col("value")).otherwise(F.col("_parsed")[CORRUPT])
    return rows.select(*whole, corrupt.alias(CORRUPT), "ds", "_metadata")


def _cut_nanos(value: Column) -> Column:
    """Nanoseconds, which Spark reads as BIGINT, cut to microseconds (S7); exact, also before 1970."""
    whole = (value - F.pmod(value, F.lit(1000))).cast("decimal(20,0)")
    return F.timestamp_micros((whole / F.lit(1000)).cast("bigint"))


@contextmanager
def unreadable_files() -> Iterator[None]:
    """Turn Spark's report of a file that breaks while it is read (a torn page, a cut .gz) into an InputError."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        found = re.search(r"FAILED_READ_FILE.*?reading file (\S+?)\.? ", str(error), re.DOTALL)
        if found is None:
            raise
        raise InputError(
            found.group(1),
            found="a file that breaks off or is damaged inside",
            wanted="a whole file",
            remedy="land it again, or move it out of landing, and run the day again: nothing of it is published",
        ) from None
