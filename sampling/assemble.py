"""Reads what labels and sampling need, and reports on what they wrote."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from features.assemble import timeline
from features.clock import to_micros
from features.profiles import join_profile
from headrace import tables
from headrace.checks import check_maturity
from headrace.config import Config
from headrace.delta import read_days
from headrace.errors import GateError
from headrace.frames import frame_of
from headrace.receipts import Receipt, latest_receipts
from sampling.downsample import SIGNIFICANCE, Counts, RateRow, count_strata, draw, rate_rows
from sampling.labels import build_labels, first_landed
from sampling.splits import split_of
from sampling.strata import PlanRow, solve, with_stratum
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = [
    "check_rates",
    "label_receipts",
    "labelled",
    "provisional_note",
    "realised_rates",
    "sample_receipts",
    "sampled",
    "sampling_plan",
    "seen_counts",
]


def labelled(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """Labels of the impressions of `days`; with labels.provisional from what has landed so far.

    Raises
    ------
    InputError
        A day's maturity day has not been ingested (exit 4).
    """
    if not config.labels.provisional:
        check_maturity(config, ds=max(days), landed=_ingested(config))
    impressions = tables.read(spark, config, "impressions", days=days)
    before = max(days) - timedelta(days=1)
    history = tables.read(spark, config, "impressions", last=before).select("impression_id", "ds")
    impressions = first_landed(impressions, history)
    items = timeline(spark, config, "item", last=max(days) + timedelta(days=1))
    duration = "duration_s" if "duration_s" in items.columns else None
    items = items.select("item_id", "from_us", "to_us", *([duration] if duration else []))
    placed = join_profile(impressions, items, key="item_id", at=to_micros(F.col("request_ts")), prefix="item")
    if duration is None:
        placed = placed.withColumn("item_duration_s", F.lit(None).cast("double"))
    last = max(days) + timedelta(days=config.labels.maturity_days)
    # What follows an impression is stamped no earlier, and lands at most a day (and a timezone) before its own stamp.
    earliest = tables.first_event_day(config, "impressions", days=days)
    first = None if earliest is None else earliest - timedelta(days=2)
    engagements = tables.read(spark, config, "engagements", first=first, last=last)
    return build_labels(placed, engagements, config.labels)


def _ingested(config: Config) -> list[date]:
    return [day for job, day in latest_receipts(config) if job == "ingest"]


def label_receipts(spark: SparkSession, config: Config, *, days: Sequence[date]) -> dict[date, Receipt]:
    """Rows in are the conformed impressions; those landed before are duplicates (S9)."""
    seen = tables.row_counts(config, "impressions", days=days)
    sums = [F.sum(c).alias(c) for c in ("preceding_engagements", "implied_labels", "watch_cut_s")]
    capped = F.sum((F.col("watch_cut_s") > 0).cast("int")).alias("watch_capped_rows")
    made = table_receipts(spark, config, "labels", names=["labels"], days=days, noted=[*sums, capped])
    ingested = _ingested(config)
    return {
        day: replace(
            receipt,
            rows_in=seen[day],
            rows_duplicate=seen[day] - receipt.rows_out,
            notes={
                **receipt.notes,
                **provisional_note(config, day, ingested=ingested),
            },
        )
        for day, receipt in made.items()
    }


def provisional_note(config: Config, day: date, *, ingested: Sequence[date]) -> dict[str, str]:
    """`provisional`: until when engagements have landed, on a day whose maturity day has not; else nothing."""
    mature = day + timedelta(days=config.labels.maturity_days)
    last = max(ingested, default=day)
    return {"provisional": f"landed until {last}, mature on {mature}"} if last < mature else {}


def seen_counts(spark: SparkSession, config: Config, *, days: Sequence[date]) -> Counts:
    """(ds, stratum, label) -> rows of the days' labels; what rates are solved from and compared with."""
    labels = tables.read(spark, config, "labels", days=days)
    return count_strata(with_stratum(labels, labels=config.labels, sampling=config.sampling), config)


def sampling_plan(spark: SparkSession, config: Config, seen: Counts, *, days: Sequence[date]) -> DataFrame:
    """`sampling_plan`: every stratum's rate, solved from the days' labels."""
    pairs = {
        (ds, stratum): (n, seen[ds, stratum, "positive"]) for (ds, stratum, label), n in seen.items() if label == "all"
    }
    plan = solve(pairs, config.sampling, days=days)
    return frame_of(spark, [asdict(row) for row in plan], table(config, "sampling_plan").schema)


def sampled(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """The spine of `days`, drawn by the rates that `sampling_plan` holds."""
    labels = tables.read(spark, config, "labels", days=days)
    spine = draw(labels, config, _plan(config, days))
    return spine.withColumn("split", split_of(config.split, timezone=config.timezone))


def _plan(config: Config, days: Sequence[date]) -> list[PlanRow]:
    rows = read_days(tables.table_uri(config, "sampling_plan"), days=days).to_pylist()
    return [PlanRow(**row) for row in rows]


def realised_rates(spark: SparkSession, config: Config, seen: Counts, *, days: Sequence[date]) -> list[RateRow]:
    """Rows of `sampling_rates`, from what was committed."""
    return rate_rows(seen, count_strata(tables.read(spark, config, "spine", days=days), config), _plan(config, days))


def check_rates(
    rates: Sequence[RateRow], receipts: dict[date, Receipt], *, accept: str | None = None
) -> dict[date, Receipt]:
    """The receipts, if every realised rate is within its binomial bounds, or odd ones are accepted with a reason (S29).

    Raises
    ------
    GateError
        One is not (exit 3); the days that are as they should be are done.
    """
    odd: dict[date, RateRow] = {}
    for row in sorted(rates, key=lambda row: row.p_value):
        if row.label == "all" and row.p_value < SIGNIFICANCE:
            odd.setdefault(row.ds, row)
    if accept is not None:
        notes = {day: {"accepted": accept, "accepted_gates": _odd_text(row)} for day, row in odd.items()}
        return {day: replace(r, notes={**r.notes, **notes.get(day, {})}) for day, r in receipts.items()}
    if odd:
        worst = min(odd.values(), key=lambda row: row.p_value)
        error = GateError(
            f"sampling of {worst.ds}, stratum {worst.stratum}",
            found=_odd_text(worst),
            wanted=f"a rate of {worst.nominal_rate} within its binomial bounds (p >= {SIGNIFICANCE:g})",
            remedy="look for impression ids that repeat or are not spread by the hash; another sampling.salt tells chance "
            f'from defect; headrace sample --ds {worst.ds} --accept "reason", with the same --config, goes on all the same',
        )
        error.made = {day: receipt for day, receipt in receipts.items() if day not in odd}
        error.notes = {day: {"refused": f"stratum {row.stratum}: {_odd_text(row)}"} for day, row in odd.items()}
        raise error
    return receipts


def _odd_text(row: RateRow) -> str:
    return f"{row.kept} of {row.seen} rows kept ({row.realised_rate:.6f}), p = {row.p_value:.1e}"


def sample_receipts(spark: SparkSession, config: Config, *, days: Sequence[date]) -> dict[date, Receipt]:
    """Rows in are labelled impressions; what was not drawn is sampled out."""
    seen = tables.row_counts(config, "labels", days=days)
    made = table_receipts(spark, config, "sample", names=["spine", "sampling_rates", "sampling_plan"], days=days)
    return {
        day: replace(receipt, rows_in=seen[day], rows_sampled_out=seen[day] - receipt.rows_out)
        for day, receipt in made.items()
    }
