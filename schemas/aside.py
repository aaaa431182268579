"""What does not stand: refused rows to `quarantine`, repeats to `duplicates`; and the texts behind hashed ids."""

from collections.abc import Sequence
from datetime import date
from functools import reduce
from threading import Lock

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace import tables, writing
from headrace.config import Config
from headrace.frames import no_rows
from headrace.shares import Share
from schemas.conform import REASON
from schemas.reading import DAY, SOURCE
from schemas.tables import TABLES

__all__ = ["as_duplicates", "as_quarantine", "keep_id_map", "write_aside"]

_ONE_WRITER = Lock()  # these tables are shared by all that land, which are ingested at once


def as_duplicates(repeats: DataFrame | None, name: str) -> DataFrame | None:
    """Rows of `duplicates` from rows that do not stand (schemas.duplicates); None where there are none to look at."""
    if repeats is None:
        return None
    moment = "valid_from" if name.endswith("_profile") else "event_ts"
    blank = {"impression_id": "bigint", "user_id": "bigint", "item_id": "bigint", "action": "string"}
    have = set(repeats.columns)
    keys = [F.col(c) if c in have else F.lit(None).cast(k).alias(c) for c, k in blank.items()]
    return repeats.select(
        F.lit(name).alias("table_name"),
        *keys,
        F.col(moment).alias("event_ts"),
        F.col("_standing").alias("standing_hash"),
        F.col("_conflicting").alias("conflicting"),
        F.col("_raw").alias("row_json"),
        F.col(SOURCE).alias("source_file"),
        "ds",
    )


def as_quarantine(rows: DataFrame, name: str) -> DataFrame:
    """Rows of `quarantine` from conformed rows that have a reason."""
    return rows.where(F.col(REASON).isNotNull()).select(
        F.lit(name).alias("table_name"),
        F.col(REASON).alias("reason"),
        F.col("_raw").alias("row_json"),
        F.col(SOURCE).alias("source_file"),
        F.col(DAY).alias("ds"),
    )


def write_aside(
    spark: SparkSession,
    frame: DataFrame | None,
    config: Config,
    aside: str,
    *,
    name: str,
    days: list[date],
    summed: Sequence[str] = (),
) -> writing.Written | None:
    """Write what did not stand; nothing to write still clears what an earlier run of these days left."""
    share = Share("table_name", name)
    with _ONE_WRITER:
        if frame is None and not tables.holds(config, aside, share, days=days):
            return None
        frame = no_rows(spark, TABLES[aside].schema) if frame is None else frame
        return writing.write_frame(frame, config, TABLES[aside], days=days, share=share, summed=summed)


def keep_id_map(spark: SparkSession, config: Config, good: DataFrame, *, name: str, days: list[date]) -> bool:
    """Texts behind hashed ids, on the day they were first seen (S11); False where no column has such texts."""
    texts = [c.removeprefix("_text_") for c in good.columns if c.startswith("_text_")]
    if not texts:
        return False
    seen = [
        good.select(
            F.lit(f"{name}.{column}").alias("kind"),
            F.col(column).alias("id"),
            F.col(f"_text_{column}").alias("text"),
            "ds",
        ).dropna()
        for column in texts
    ]
    first = reduce(DataFrame.unionByName, seen).groupBy("kind", "id", "text").agg(F.min("ds").alias("ds"))
    before = (
        tables.read(spark, config, "id_map").where(~F.col("ds").isin(days)).where(F.col("kind").startswith(f"{name}."))
    )
    fresh = first.join(before.select("kind", "id", "text"), on=["kind", "id", "text"], how="left_anti")
    with _ONE_WRITER:
        writing.write_frame(fresh, config, TABLES["id_map"], days=days, share=Share("kind", f"{name}."))
    return True
