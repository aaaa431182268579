"""Content hashes: what a day of a table holds, whatever its order and its files."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as t

__all__ = ["content_hashes"]


def _row_hash(frame: DataFrame) -> Column:
    return F.xxhash64(*[F.col(c) for c in sorted(frame.columns)])


def content_hashes(frame: DataFrame, *, days: Sequence[date]) -> dict[date, str]:
    """Order-independent hash per day of the rows of `frame`: the same at any partitioning.

    Count, xor and the sums of both halves of xxhash64 over the columns by name.
    """
    hashed = frame.select("ds", _row_hash(frame).alias("h"))
    low = F.col("h").bitwiseAND(F.lit(0xFFFFFFFF))
    per_day = hashed.groupBy("ds").agg(
        F.count("*").alias("n"),
        F.bit_xor("h").alias("x"),
        F.sum(low).alias("low"),
        F.sum(F.shiftrightunsigned("h", 32)).alias("high"),
    )
    found = {row["ds"]: row for row in per_day.collect()}  # one row a day
    return {day: _text(found.get(day)) for day in days}


def _text(row: t.Row | None) -> str:
    if row is None:
        return "empty"
    mask = (1 << 64) - 1
    return f"{row['n']:x}-{row['x'] & mask:016x}-{row['low'] & mask:x}-{row['high'] & mask:x}"
