"""Negative downsampling by hash: a row's fate is a pure function of its id, the salt and the rate (S28, S29)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headrace.config import Config

__all__ = ["RateRow", "count_strata", "draw", "keep", "rate_rows", "with_stratum"]

_RANGE = 1 << 32
SIGNIFICANCE = 1e-6


def keep(impression_id: Column, *, salt: str, rate: Column) -> Column:
    """pmod(xxhash64(impression_id, salt), 2^32) < rate * 2^32: nested in the rate, independent between salts."""
    return F.pmod(F.xxhash64(impression_id, F.lit(salt)), F.lit(_RANGE)) < rate * F.lit(float(_RANGE))


def with_stratum(labels: DataFrame, config: Config) -> DataFrame:
    """Add sampling_stratum ('positive' where any declared positive label is set, else 'negative'), rate and weight."""
    positive = reduce(lambda a, b: a | b, [F.col(f"label_{a}") == 1 for a in config.labels.positive])
    rate = F.when(positive, config.sampling.positive_rate).otherwise(config.sampling.negative_rate)
    return labels.withColumns(
        {
            "sampling_stratum": F.when(positive, "positive").otherwise("negative"),
            "sampling_rate": rate,
            "sample_weight": 1.0 / rate,
        }
    )


def draw(labels: DataFrame, config: Config) -> DataFrame:
    """The rows kept, with stratum, rate and weight."""
    return with_stratum(labels, config).where(
        keep(F.col("impression_id"), salt=config.sampling.salt, rate=F.col("sampling_rate"))
    )


def count_strata(rows: DataFrame, actions: Iterable[str]) -> dict[tuple[date, str, str], int]:
    """Rows per (ds, stratum, label); label 'all' counts every row. Two strata a day: the driver holds a handful."""
    sums = [F.sum(f"label_{a}").alias(f"label_{a}") for a in actions]
    found = rows.groupBy("ds", "sampling_stratum").agg(F.count("*").alias("all"), *sums).collect()
    return {
        (row["ds"], row["sampling_stratum"], name): int(row[name])
        for row in found
        for name in ["all", *[f"label_{a}" for a in actions]]
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
    p_value: float
    ds: date


def rate_rows(
    seen: dict[tuple[date, str, str], int], kept: dict[tuple[date, str, str], int], config: Config
) -> list[RateRow]:
    """Seen and kept side by side with the exact binomial p-value: twice the smaller tail (S29)."""
    from scipy.stats import binom

    nominal = {"positive": config.sampling.positive_rate, "negative": config.sampling.negative_rate}
    rows = []
    for (ds, stratum, label), n in sorted(seen.items()):
        k, rate = kept.get((ds, stratum, label), 0), nominal[stratum]
        tail = min(float(binom.cdf(k, n, rate)), float(binom.sf(k - 1, n, rate)))
        rows.append(RateRow(stratum, label, n, k, rate, k / n if n else None, min(1.0, 2 * tail), ds))
    return rows
