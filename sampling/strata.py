"""Strata: which stratum a labelled row belongs to, and the rate at which each is kept on a day (S28).

Rates that a target asks for are solved from the day's counts alone, so they are the same at any parallelism; they are
written to `sampling_plan` before a row is drawn, and rows are drawn by what stands there.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from features.conditions import compare
from headrace.config import Condition
from headrace.config.model import LabelsConfig
from headrace.config.sampling import POSITIVE, SamplingConfig, Stratum

__all__ = ["PlanRow", "is_positive", "solve", "with_stratum"]

Counts = Mapping[tuple[date, str], tuple[int, int]]


@dataclass(frozen=True)
class PlanRow:
    """One row of `sampling_plan`."""

    stratum: str
    rule: str
    seen: int
    positives: int
    nominal_rate: float
    ds: date


def is_positive(labels: LabelsConfig) -> Column:
    """Whether a row has any label that is declared as positive."""
    return reduce(operator.or_, [F.col(f"label_{a}") == 1 for a in labels.positive])


def with_stratum(rows: DataFrame, *, labels: LabelsConfig, sampling: SamplingConfig) -> DataFrame:
    """Add `sampling_stratum`: the first whose conditions all hold; a comparison with null never does."""
    positive = is_positive(labels)
    found: Column | None = None
    for stratum in sampling.all_strata:
        test = _test(stratum, positive)
        found = F.when(test, stratum.name) if found is None else found.when(test, stratum.name)
    assert found is not None
    return rows.withColumn("sampling_stratum", found)


def _test(stratum: Stratum, positive: Column) -> Column:
    tests = [_holds(condition, positive) for condition in stratum.where]
    if stratum.per_positive is not None:
        tests.append(~positive)
    return F.coalesce(reduce(operator.and_, tests, F.lit(True)), F.lit(False))


def _holds(condition: Condition, positive: Column) -> Column:
    column = positive.cast("int") if condition.column == POSITIVE else F.col(condition.column)
    return compare(column, condition)


def solve(counts: Counts, sampling: SamplingConfig, *, days: Sequence[date]) -> list[PlanRow]:
    """The rate of every stratum and day, also of those without rows.

    `rate` stands; `rows` = n gives min(1, n / seen); `per_positive` = k gives min(1, k P / seen), with P the positives
    that the other strata keep, as expected. None is below `min_rate`, so that no row's weight is unbounded.
    """
    plan = []
    for day in sorted(days):
        here = {s.name: counts.get((day, s.name), (0, 0)) for s in sampling.all_strata}
        plain = [s for s in sampling.all_strata if s.per_positive is None]
        rates = {s.name: _rate(s, here[s.name][0], least=sampling.min_rate) for s in plain}
        kept = sum(here[name][1] * rate for name, rate in rates.items())
        for stratum in sampling.all_strata:
            seen, positives = here[stratum.name]
            wanted = (stratum.per_positive or 0.0) * kept
            rate = rates.get(stratum.name) or _share(wanted, seen, least=sampling.min_rate)
            plan.append(PlanRow(stratum.name, stratum.rule, seen, positives, rate, day))
    return plan


def _rate(stratum: Stratum, seen: int, *, least: float) -> float:
    return stratum.rate if stratum.rate is not None else _share(float(stratum.rows or 0), seen, least=least)


def _share(wanted: float, seen: int, *, least: float) -> float:
    return max(least, min(1.0, wanted / seen)) if seen else 1.0
