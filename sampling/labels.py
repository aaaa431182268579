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

    `history` needs impression_id and ds and may hold the same days as `impressions`.
    """
    before = history.select("impression_id", F.col("ds").alias("_before"))
    again = (
        impressions.select("impression_id", "ds").join(before, on="impression_id", how="inner").where("_before < ds")
    )
    return impressions.join(again.select("impression_id", "ds").distinct(), on=["impression_id", "ds"], how="left_anti")


def build_labels(impressions: DataFrame, engagements: DataFrame, labels: LabelsConfig) -> DataFrame:
    """Add the label columns (headrace.config.label_facts), preceding_engagements, implied_labels, watch_cut_s.

    Parameters
    ----------
    impressions : one row per impression_id, with event_ts, ds and `item_duration_s` at request_ts
    engagements : as conformed; at least all that landed from the impressions' event day to their maturity day
    labels : windows per action, counts, cap of watch time, implications, maturity
    """
    joined = impressions.join(_events(engagements, labels), on="impression_id", how="left")
    joined = joined.withColumns({"_shown": F.unix_micros("event_ts"), "_until": F.date_add("ds", labels.maturity_days)})
    own = {f"label_{action}": _happened(action, window) for action, window in labels.windows.items()}
    counts = {f"label_{action}_count": _times(action, labels.windows[action]) for action in labels.counts}
    preceding = F.size(F.filter("_events", lambda e: e["event_us"] < F.col("_shown")))
    joined = joined.withColumns(
        {
            **own,
            **counts,
            "_watched": _watched(labels.watch_window),
            "preceding_engagements": F.when(F.col("_events").isNull(), 0).otherwise(preceding),
        }
    )
    return _completed(_implied(joined, labels), labels)


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
    """One row per impression: its engagements, each (impression, action, event_ts) once, first landed."""
    wanted = [*labels.windows, "watch"]
    own = engagements.where(F.col("impression_id").isNotNull() & F.col("action").isin(wanted))
    # Partitioned by impression once, so that both aggregations and the join with it share one shuffle.
    arranged = own.select("impression_id", "action", "event_ts", "value", "ds", "effective_arrival_ts").repartition(
        "impression_id"
    )
    single = arranged.groupBy("impression_id", "action", "event_ts").agg(
        F.min_by("value", F.struct("ds", "effective_arrival_ts", "value")).alias("value"), F.min("ds").alias("ds")
    )
    units = F.coalesce(F.rint(F.col("value") * _UNITS).cast("bigint"), F.lit(0))
    event = F.struct("action", F.unix_micros("event_ts").alias("event_us"), units.alias("units"), "ds")
    return single.groupBy("impression_id").agg(F.collect_list(event).alias("_events"))


def _counts(event: Column, action: str, window: timedelta) -> Column:
    """event_ts in [impression's event_ts, + window) and landed by the maturity day."""
    after = event["event_us"] >= F.col("_shown")
    within = event["event_us"] < F.col("_shown") + micros(window)
    return (event["action"] == action) & after & within & (event["ds"] <= F.col("_until"))


def _happened(action: str, window: timedelta) -> Column:
    found = F.exists("_events", lambda e: _counts(e, action, window))
    return F.coalesce(found, F.lit(False)).cast("int")


def _times(action: str, window: timedelta) -> Column:
    return F.coalesce(F.size(F.filter("_events", lambda e: _counts(e, action, window))), F.lit(0))


def _watched(window: timedelta) -> Column:
    """Microseconds watched over all plays that count; null where there was none."""
    plays = F.filter("_events", lambda e: _counts(e, "watch", window))
    total = F.aggregate(plays, F.lit(0).cast("bigint"), lambda sum_, e: sum_ + e["units"])
    return F.when(F.size(plays) > 0, total)


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
