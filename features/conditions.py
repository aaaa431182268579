"""Which events a metric takes: its action, `once`, and its `where`, as a Spark column or over Arrow. A null is never true."""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from headrace.config import Condition, Metric

__all__ = ["PAIRED", "bits_of", "by_value", "compare", "holds", "log_column", "matches", "sources_of"]

PAIRED = (
    "_paired"  # column of the log: whether the row stands for an event together with its impression; null: both ways
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def sources_of(metric: Metric) -> set[str]:
    """What the metric's conditions look at: engagement, impression, user, item."""
    return {condition.source for condition in metric.where}


def _needs_impression(metric: Metric) -> bool:
    """Whether an engagement counts only with its impression beside it."""
    return "impression" in sources_of(metric) and metric.action != "impression"


def log_column(column: str) -> str:
    """Name in the log: `item.format` is item_format, `impression.scene` is scene."""
    source, _, name = column.partition(".")
    if (source, name) == ("item", "author_id"):
        return "author_id"
    return name if source == "impression" else f"{source}_{name}" if name else source


def matches(metrics: Mapping[str, Metric], *, log: Sequence[str]) -> Column:
    """One bit a metric, by its place: which of them the event belongs to (S19).

    Parameters
    ----------
    log : columns of the log
        A metric that looks at another belongs to no group that reads this log, and gets no bit. Where the log has
        PAIRED, a metric with a condition on the impression counts on paired rows only, any other on the others.
    """
    bits = F.lit(0).cast("bigint")
    for place, metric in enumerate(metrics.values()):
        if not {log_column(c.column) for c in metric.where} <= set(log):
            continue
        tests = [F.col("action") == metric.action, *map(_test, metric.where)]
        if metric.once:
            tests.append(F.col("is_first"))
        if PAIRED in log:
            tests.append(F.coalesce(F.col(PAIRED) == F.lit(_needs_impression(metric)), F.lit(True)))
        counts = F.coalesce(reduce(operator.and_, tests), F.lit(False))
        bits = bits + F.when(counts, F.lit(1 << place).cast("bigint")).otherwise(F.lit(0).cast("bigint"))
    return bits


def _test(condition: Condition) -> Column:
    return compare(F.col(log_column(condition.column)), condition)


def compare(column: Column, condition: Condition) -> Column:
    """The condition on a column; null where the column is."""
    if condition.operator == "in":
        return column.isin(list(condition.literals))
    found: Column = _COMPARE[condition.operator](column, F.lit(condition.literals[0]))
    return found


def bits_of(metrics: Mapping[str, Metric], action: str, *, once: bool) -> int:
    """Bits of the metrics of one action without conditions that count every event, or (`once`) only the first."""
    return sum(
        1 << place for place, m in enumerate(metrics.values()) if m.action == action and m.once == once and not m.where
    )


def by_value(metrics: Mapping[str, Metric]) -> list[tuple[int, Metric]]:
    """Place and metric of those whose conditions look at the value alone."""
    return [(place, m) for place, m in enumerate(metrics.values()) if sources_of(m) == {"engagement"}]


def holds(metric: Metric, values: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Where all conditions of a metric hold that look at the value alone."""
    numbers = values.fill_null(np.nan).to_numpy()
    found = np.asarray(values.is_valid().to_numpy(), dtype=bool)
    for condition in metric.where:
        if condition.operator == "in":
            found &= np.isin(numbers, condition.literals)
        else:
            found &= _COMPARE[condition.operator](numbers, condition.literals[0])
    return found
