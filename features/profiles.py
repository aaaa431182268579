"""Point-in-time profiles: which version of a key's profile held, and was known, at a moment (S15, S16)."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from features.clock import to_micros
from schemas.days import ds_start

__all__ = ["join_profile", "profile_timeline"]

_NEVER = (1 << 62) - 1


def profile_timeline(profile: DataFrame, *, key: str, columns: list[str], timezone: str) -> DataFrame:
    """One row per key and span in which one version is the one to use; spans of a key do not overlap.

    Parameters
    ----------
    profile : rows of `user_profile` or `item_profile`
    key, columns : the key and the declared columns to carry
    timezone : business timezone; a version is visible from max(valid_from, start of its ds)

    Returns
    -------
    frame (key, from_us, to_us, landed_us, *columns), microseconds, to_us exclusive
    """
    pieces = _pieces(profile, key=key, columns=columns, timezone=timezone)
    by_key = Window.partitionBy(key).orderBy("from_us", "valid_us")
    before = by_key.rowsBetween(Window.unboundedPreceding, -1)
    falls_back = (F.col("to_us") < F.coalesce("next_us", F.lit(_NEVER))) & (F.col("longest_us") > F.col("to_us"))
    out_of_order = F.col("next_valid_us") < F.col("valid_us")
    laid = pieces.select(
        "*",
        F.lead("from_us").over(by_key).alias("next_us"),
        F.lead("valid_us").over(by_key).alias("next_valid_us"),
        F.max("to_us").over(before).alias("longest_us"),
    ).withColumn(
        "tangled",
        F.max(F.coalesce(falls_back, F.lit(False)) | F.coalesce(out_of_order, F.lit(False))).over(
            Window.partitionBy(key)
        ),
    )
    carried = [key, "landed_us", "values"]
    plain = laid.where(~F.col("tangled")).select(*carried, "from_us", F.least("to_us", "next_us").alias("to_us"))
    tangled = _untangle(laid.where("tangled"), key=key).select(*carried, "from_us", "to_us")
    spans = plain.unionByName(tangled).where("from_us < to_us")
    return spans.select(key, "from_us", "to_us", "landed_us", *[F.col("values")[c].alias(c) for c in columns])


def _pieces(profile: DataFrame, *, key: str, columns: list[str], timezone: str) -> DataFrame:
    """One row per version and span of knowledge of its valid_to: a later landing may set it, from its own ds on."""
    version = Window.partitionBy(key, "valid_from").orderBy("ds", "sets_valid_to", F.col("valid_to").asc_nulls_first())
    landed = to_micros(ds_start(F.col("ds"), timezone))
    found = profile.select(
        key,
        to_micros(F.col("valid_from")).alias("valid_us"),
        landed.alias("known_us"),
        F.coalesce(to_micros(F.col("valid_to")), F.lit(_NEVER)).alias("ends_us"),
        F.lead(landed).over(version).alias("superseded_us"),
        F.first(F.struct(landed.alias("landed_us"), F.struct(*columns).alias("values"))).over(version).alias("first"),
    )
    return found.select(
        key,
        "valid_us",
        F.greatest("valid_us", "known_us").alias("from_us"),
        F.least("ends_us", F.coalesce("superseded_us", F.lit(_NEVER))).alias("to_us"),
        F.col("first.landed_us").alias("landed_us"),
        F.col("first.values").alias("values"),
    ).where("from_us < to_us")


def _untangle(pieces: DataFrame, *, key: str) -> DataFrame:
    """Keys whose versions interleave: cut at every edge, keep the latest valid_from that covers each cut."""
    edges = pieces.select(key, F.explode(F.array("from_us", "to_us")).alias("edge_us")).distinct()
    cuts = edges.withColumn("end_us", F.lead("edge_us").over(Window.partitionBy(key).orderBy("edge_us"))).dropna()
    covering = cuts.alias("c").join(
        pieces.alias("p"),
        (F.col(f"c.{key}") == F.col(f"p.{key}"))
        & (F.col("from_us") <= F.col("edge_us"))
        & (F.col("to_us") > F.col("edge_us")),
        how="inner",
    )
    best = covering.groupBy(F.col(f"c.{key}").alias(key), "edge_us", "end_us").agg(
        F.max_by(F.struct("landed_us", "values"), "valid_us").alias("best")
    )
    return best.select(
        key, F.col("edge_us").alias("from_us"), F.col("end_us").alias("to_us"), "best.landed_us", "best.values"
    )


def join_profile(rows: DataFrame, timeline: DataFrame, *, key: str, at: Column, prefix: str) -> DataFrame:
    """Left join of the version that held at `at` (microseconds); the row count stays, for spans do not overlap.

    Adds the timeline's columns as `<prefix>_<column>` and `<prefix>_landed_us`, null where there is no profile.
    """
    values = [c for c in timeline.columns if c not in (key, "from_us", "to_us")]
    renamed = timeline.select(
        F.col(key).alias("_key"),
        F.col("from_us").alias("_from"),
        F.col("to_us").alias("_to"),
        *[F.col(c).alias(f"{prefix}_{c}") for c in values],
    )
    placed = rows.withColumn("_at", at)
    matches = (F.col(key) == F.col("_key")) & (F.col("_from") <= F.col("_at")) & (F.col("_at") < F.col("_to"))
    return placed.join(renamed, matches, how="left").drop("_key", "_from", "_to", "_at")
