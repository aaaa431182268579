"""Labels of impressions from the engagements that followed (S26, S27). One row per impression_id."""

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headrace.config.model import LabelsConfig
from headrace.durations import micros

__all__ = ["build_labels", "first_landed"]

_UNITS = 1_000_000


def first_landed(impressions: DataFrame, history: DataFrame) -> DataFrame:
    """Impressions whose id no earlier landed day holds: repeats from beyond the horizon label nothing (S9).

    `history` needs impression_id and ds; days as late as the last of `impressions` are of no use in it.
    """
    before = history.groupBy("impression_id").agg(F.min("ds").alias("_before"))
    earlier = (impressions["impression_id"] == before["impression_id"]) & (F.col("_before") < impressions["ds"])
    return impressions.join(before, on=earlier, how="left_anti")


def build_labels(impressions: DataFrame, engagements: DataFrame, labels: LabelsConfig) -> DataFrame:
    """Add the label columns (headrace.config.label_facts), preceding_engagements, implied_labels, watch_cut_s.

    Parameters
    ----------
    impressions : one row per impression_id, with event_ts, ds and `item_duration_s` at request_ts
    engagements : as conformed; at least all that landed from the impressions' event day to their maturity day
    labels : windows per action, counts, cap of watch time, implications, maturity
    """
    shown = impressions.select(
        "impression_id",
        F.unix_micros("event_ts").alias("_shown"),
        F.col("ds").alias("_day"),
    )
    # Hashed, not sorted: the side that is kept in memory is a partition's engagements, the wide side only streams by.
    paired = shown.join(_events(engagements, labels).hint("shuffle_hash"), on="impression_id")
    met = paired.groupBy("impression_id").agg(*_sums(labels))
    joined = impressions.join(met.hint("shuffle_hash"), on="impression_id", how="left")
    filled = {name: F.coalesce(name, F.lit(0)) for name in met.columns if name not in ("impression_id", "_watched")}
    return _completed(_implied(joined.withColumns(filled), labels), labels)


def _completed(joined: DataFrame, labels: LabelsConfig) -> DataFrame:
    """Watch seconds, what the cap took off them, completion and its flag (S26)."""
    duration = F.col("item_duration_s")
    has_length = duration > 0
    watched = F.coalesce(F.col("_watched") / _UNITS, F.when(has_length, F.lit(0.0)))
    cap = F.lit(None).cast("double") if labels.watch_cap is None else F.when(has_length, duration * labels.watch_cap)
    made = joined.withColumn("label_watch_s", F.when(watched.isNotNull(), F.least(watched, cap)))  # least skips nulls
    made = made.withColumn("watch_cut_s", F.coalesce(watched - F.col("label_watch_s"), F.lit(0.0)))
    made = made.withColumn("label_completion", F.when(has_length, F.col("label_watch_s") / duration))
    if labels.completed_at is None:
        return made
    return made.withColumn("label_completed", (F.col("label_completion") >= labels.completed_at).cast("int"))


def _events(engagements: DataFrame, labels: LabelsConfig) -> DataFrame:
    """Each (impression, action, event_ts) once, as it first landed: action, event_us, units, landed."""
    wanted = [*labels.windows, "watch"]
    own = engagements.where(F.col("impression_id").isNotNull() & F.col("action").isin(wanted))
    # Partitioned by impression once, so that this aggregation, the join and the next aggregation share one shuffle.
    arranged = own.select("impression_id", "action", "event_ts", "value", "ds", "effective_arrival_ts").repartition(
        "impression_id"
    )
    single = arranged.groupBy("impression_id", "action", "event_ts").agg(
        F.min_by("value", F.struct("ds", "effective_arrival_ts", "value")).alias("value"), F.min("ds").alias("_landed")
    )
    units = F.coalesce(F.rint(F.col("value") * _UNITS).cast("bigint"), F.lit(0)).alias("_units")
    return single.select("impression_id", "action", F.unix_micros("event_ts").alias("_at"), units, "_landed")


def _sums(labels: LabelsConfig) -> list[Column]:
    """What an impression's engagements come to: labels, counts, microseconds watched (null without a play), preceding."""

    def counts(action: str, window: timedelta) -> Column:
        """event_ts in [impression's event_ts, + window) and landed by the maturity day of that window."""
        since = F.col("_at") - F.col("_shown")
        in_time = F.col("_landed") <= F.date_add("_day", labels.days_of(window))
        return (F.col("action") == action) & (since >= 0) & (since < micros(window)) & in_time

    happened = [F.max(counts(a, w).cast("int")).alias(f"label_{a}") for a, w in labels.windows.items()]
    times = [
        F.sum(counts(a, labels.windows[a]).cast("int")).cast("int").alias(f"label_{a}_count") for a in labels.counts
    ]
    watched = F.sum(F.when(counts("watch", labels.watch_window), F.col("_units"))).alias("_watched")
    preceding = F.sum((F.col("_at") < F.col("_shown")).cast("int")).cast("int").alias("preceding_engagements")
    return [*happened, *times, watched, preceding]


def _implied(joined: DataFrame, labels: LabelsConfig) -> DataFrame:
    """`implied_labels` counts labels that another implies and no engagement set; `enforce` sets them (S27)."""
    own = joined.withColumns({f"_own_{a}": F.col(f"label_{a}") for a in labels.windows})
    closed = _imply(own, labels.implies)
    changed = [F.col(f"label_{a}") - F.col(f"_own_{a}") for a in labels.windows]
    counted = closed.withColumn("implied_labels", sum(changed, F.lit(0)).cast("int"))
    if labels.implied == "enforce":
        return counted
    return counted.withColumns({f"label_{a}": F.col(f"_own_{a}") for a in labels.windows})


def _imply(joined: DataFrame, implies: dict[str, str]) -> DataFrame:
    """Where the left label is set, set the right one; chains resolve in as many rounds as there are rules."""
    for _ in implies:
        for left, right in implies.items():
            joined = joined.withColumn(f"label_{right}", F.greatest(f"label_{right}", f"label_{left}"))
    return joined
