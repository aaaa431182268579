"""Content hashes: what a day of a table holds, whatever its order and its files."""

import operator
from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

__all__ = ["content_hashes", "hashes_and_more"]

NULLS_PER_MASK = 62  # headrace.rowhash does the same without Spark


def _row_hash(frame: DataFrame) -> Column:
    names = sorted(frame.columns)
    return F.xxhash64(*map(F.col, names), *_null_masks(names))


def _null_masks(names: Sequence[str]) -> list[Column]:
    """One BIGINT for every 62 columns, with a bit for each null: xxhash64 itself passes over nulls, wherever they stand."""
    masks = []
    for start in range(0, len(names), NULLS_PER_MASK):
        bits = [
            F.when(F.col(name).isNull(), F.lit(1 << place).cast("bigint")).otherwise(F.lit(0).cast("bigint"))
            for place, name in enumerate(names[start : start + NULLS_PER_MASK])
        ]
        masks.append(reduce(operator.add, bits))
    return masks


def content_hashes(frame: DataFrame, *, days: Sequence[date]) -> dict[date, str]:
    """Order-independent hash per day of the rows of `frame`: the same at any partitioning.

    Count, xor and the sums of both halves of xxhash64 over the columns by name.
    """
    return {day: text for day, (text, _) in hashes_and_more(frame, [], days=days).items()}


def hashes_and_more(
    frame: DataFrame, more: Sequence[Column], *, days: Sequence[date]
) -> dict[date, tuple[str, dict[str, Any]]]:
    """`content_hashes`, and aggregates by their alias of the same scan; none on days without rows."""
    hashed = frame.withColumn("_h", _row_hash(frame))
    low = F.col("_h").bitwiseAND(F.lit(0xFFFFFFFF))
    per_day = hashed.groupBy("ds").agg(
        F.count("*").alias("_n"),
        F.bit_xor("_h").alias("_x"),
        F.sum(low).alias("_low"),
        F.sum(F.shiftrightunsigned("_h", 32)).alias("_high"),
        *more,
    )
    found = {row["ds"]: row.asDict() for row in per_day.collect()}  # one row a day
    return {day: (_text(found.get(day)), _others(found.get(day, {}))) for day in days}


def _others(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_") and name != "ds"}


def _text(row: dict[str, Any] | None) -> str:
    if row is None:
        return "empty"
    mask = (1 << 64) - 1
    return f"{row['_n']:x}-{row['_x'] & mask:016x}-{row['_low'] & mask:x}-{row['_high'] & mask:x}"
