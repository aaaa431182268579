"""Repeats (S9): the first to arrive stands, looked up among all good rows of a declared horizon of landed days.

Only rows whose key occurs more than once are ever sorted: one aggregation over hashed keys finds those suspects, and all
other rows pass straight through.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

__all__ = ["EARLIER", "content_hash", "event_key", "sort_out", "sort_out_profiles", "suspect_hash"]

EARLIER = "_earlier"
_ASIDE = {"arrival_ts", "effective_arrival_ts", "ds", "valid_to", "is_first", "sets_valid_to"}
_HASH, _CONTENT, _STANDING = "_hash", "_content", "_standing"


def event_key(name: str) -> list[str]:
    """Columns that name one event of table `name`."""
    if name == "impressions":
        return ["impression_id"]
    return ["impression_id", "action", "event_ts", "_user_of_orphan", "_item_of_orphan"]


def _with_orphans(rows: DataFrame, name: str) -> DataFrame:
    """Engagements without impression share user_id and item_id instead (S10)."""
    if name == "impressions":
        return rows
    orphan = F.col("impression_id").isNull()
    return rows.withColumns(
        {"_user_of_orphan": F.when(orphan, F.col("user_id")), "_item_of_orphan": F.when(orphan, F.col("item_id"))}
    )


def suspect_hash(name: str) -> Column:
    """One BIGINT that equal keys share: of the impression, of impression and action, or of the orphan's key."""
    if name == "impressions":
        return F.xxhash64("impression_id")
    orphan = F.xxhash64("user_id", "item_id", "action", "event_ts")
    return F.when(F.col("impression_id").isNull(), orphan).otherwise(F.xxhash64("impression_id", "action"))


def content_hash(columns: list[str]) -> Column:
    """xxhash64 of the columns that make two rows of one key conflict."""
    return F.xxhash64(*sorted(c for c in columns if c not in _ASIDE))


def sort_out(rows: DataFrame, earlier: DataFrame, *, name: str, columns: list[str], horizon: int) -> DataFrame:
    """Decide which of `rows` stand. All rows must be good and suspect.

    Parameters
    ----------
    rows : good rows of the days at hand, any number of days
    earlier : good rows, kept or not, of the landed days before (key columns, ds, `_standing`)
    columns : the table's landing columns, which order equals and tell conflicts
    horizon : days looked back

    Returns
    -------
    `rows` with `_stands`, and for those that do not the `_standing` hash of the one that does and `_conflicting`
    """
    others = sorted(c for c in columns if c not in {"ds", "arrival_ts"})
    new = rows.withColumns(
        {EARLIER: F.lit(False), _CONTENT: content_hash(columns), _STANDING: F.lit(None).cast("bigint")}
    )
    both = _with_orphans(new.unionByName(earlier.withColumn(EARLIER, F.lit(True)), allowMissingColumns=True), name)
    arrival = F.coalesce("arrival_ts", "event_ts")
    order: list[Column] = [
        F.col("ds"),
        F.desc(EARLIER),
        arrival.asc_nulls_last(),
        *[F.col(c).asc_nulls_last() for c in others],
    ]
    by_key = Window.partitionBy(*event_key(name)).orderBy(*order)
    fresh = _fresh(F.lag("ds").over(by_key), horizon)
    placed = both.withColumn("_stands", ~F.col(EARLIER) & fresh)
    if name == "engagements":
        by_action = Window.partitionBy("impression_id", "action").orderBy(*order)
        first = F.col("impression_id").isNull() | _fresh(F.lag("ds").over(by_action), horizon)
        placed = placed.withColumn("is_first", first)
    stood = F.when(F.col("_stands"), F.col(_CONTENT)).otherwise(F.when(F.col(EARLIER), F.col(_STANDING)))
    before = by_key.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    placed = placed.withColumn(_STANDING, F.last(stood, ignorenulls=True).over(before)).where(~F.col(EARLIER))
    return placed.withColumn("_conflicting", F.col(_CONTENT) != F.col(_STANDING))


def _fresh(previous: Column, horizon: int) -> Column:
    """No good row of the key in this day or the `horizon` landed days before."""
    return previous.isNull() | (F.datediff(F.col("ds"), previous) > horizon)


def sort_out_profiles(rows: DataFrame, earlier: DataFrame, *, key: str, columns: list[str]) -> DataFrame:
    """Profiles (S15): of repeats of (key, valid_from) the first landed stands; a later one may set valid_to.

    A repeat that brings a new valid_to is kept with `sets_valid_to`; any other is a repeat.
    """
    others = sorted(c for c in columns if c not in {"ds", key, "valid_from"})
    new = rows.withColumns({EARLIER: F.lit(False), "sets_valid_to": F.lit(False)})
    both = new.unionByName(earlier.withColumn(EARLIER, F.lit(True)), allowMissingColumns=True)
    order: list[Column] = [
        F.col("ds"),
        F.desc(EARLIER),
        F.col("sets_valid_to"),
        *[F.col(c).asc_nulls_last() for c in others],
    ]
    by_key = Window.partitionBy(key, "valid_from").orderBy(*order)
    before = by_key.rowsBetween(Window.unboundedPreceding, -1)
    placed = both.withColumns(
        {
            "_place": F.row_number().over(by_key),
            "_ends": F.last("valid_to", ignorenulls=True).over(before),
            _STANDING: F.first(content_hash(columns)).over(by_key),
            _CONTENT: content_hash(columns),
        }
    ).where(~F.col(EARLIER))
    first = F.col("_place") == 1
    setter = ~first & F.col("valid_to").isNotNull() & ~F.col("valid_to").eqNullSafe(F.col("_ends"))
    placed = placed.withColumns({"sets_valid_to": setter, "_stands": first | setter})
    return placed.withColumn("_conflicting", F.col(_CONTENT) != F.col(_STANDING))
