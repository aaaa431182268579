"""Downsampling by hash: a row's fate is a pure function of its id, the salt and the rate (S28, S29)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as t

from headrace.config import Config
from headrace.frames import frame_of
from sampling.strata import PlanRow, is_positive, with_stratum

__all__ = ["SIGNIFICANCE", "Counts", "RateRow", "count_strata", "draw", "keep", "rate_rows"]

_RANGE = 1 << 32
SIGNIFICANCE = 1e-6
_CONFIDENCE = 0.95
Counts = Mapping[tuple[date, str, str], int]


def keep(impression_id: Column, *, salt: str, rate: Column) -> Column:
    """pmod(xxhash64(impression_id, salt), 2^32) < rate * 2^32: nested in the rate, independent between salts."""
    return F.pmod(F.xxhash64(impression_id, F.lit(salt)), F.lit(_RANGE)) < rate * F.lit(float(_RANGE))


def draw(labels: DataFrame, config: Config, plan: Sequence[PlanRow]) -> DataFrame:
    """The rows kept of the days of `plan`, with stratum, rate and weight."""
    schema = t.StructType(
        [
            t.StructField("ds", t.DateType()),
            t.StructField("stratum", t.StringType()),
            t.StructField("nominal_rate", t.DoubleType()),
        ]
    )
    rates = frame_of(labels.sparkSession, [asdict(row) for row in plan], schema)
    rates = rates.withColumnsRenamed({"stratum": "sampling_stratum", "nominal_rate": "sampling_rate"})
    rows = with_stratum(labels, labels=config.labels, sampling=config.sampling)
    rated = rows.join(F.broadcast(rates), on=["ds", "sampling_stratum"])
    kept = rated.where(keep(F.col("impression_id"), salt=config.sampling.salt, rate=F.col("sampling_rate")))
    return kept.withColumn("sample_weight", 1.0 / F.col("sampling_rate"))


def count_strata(rows: DataFrame, config: Config) -> dict[tuple[date, str, str], int]:
    """Rows per (ds, stratum, label): `all` counts every row, `positive` those with any positive label."""
    names = [f"label_{a}" for a in config.labels.windows]
    sums = [F.sum(name).alias(name) for name in names]
    positive = F.sum(is_positive(config.labels).cast("int")).alias("positive")
    found = rows.groupBy("ds", "sampling_stratum").agg(F.count("*").alias("all"), positive, *sums).collect()
    return {
        (row["ds"], row["sampling_stratum"], name): int(row[name])
        for row in found
        for name in ["all", "positive", *names]
    }


@dataclass(frozen=True)
class RateRow:
    """One row of `sampling_rates`."""

    stratum: str
    label: str
    seen: int
    kept: int
    nominal_rate: float
    realised_rate: float | None
    rate_low: float | None
    rate_high: float | None
    p_value: float
    ds: date


def rate_rows(seen: Counts, kept: Counts, plan: Iterable[PlanRow]) -> list[RateRow]:
    """Seen and kept side by side, with the exact binomial p-value (twice the smaller tail, S29) and interval.

    The interval is that of Clopper and Pearson, Biometrika 1934: quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k).
    """
    from scipy.stats import beta, binom

    nominal = {(row.ds, row.stratum): row.nominal_rate for row in plan}
    tail = (1 - _CONFIDENCE) / 2
    rows = []
    for (ds, stratum, label), n in sorted(seen.items()):
        k, rate = kept.get((ds, stratum, label), 0), nominal[ds, stratum]
        smaller = min(float(binom.cdf(k, n, rate)), float(binom.sf(k - 1, n, rate)))
        low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
        made = RateRow(stratum, label, n, k, rate, None, None, None, min(1.0, 2 * smaller), ds)
        rows.append(replace(made, realised_rate=k / n, rate_low=low, rate_high=high) if n else made)
    return rows
