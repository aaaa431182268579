"""Coverage: one row per ds x feature x slice x value, the six states in rows and in weight (S31 to S34).

One scan of the training set counts every feature in every slice at once; a second, narrow one finds the largest values
of each slice. Weights are summed in integer microunits, so the result does not depend on the order of rows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from features.states import STATES
from headrace.config import Feature

__all__ = ["build_coverage"]

OTHER = "(other)"
_UNITS = 1e6
_PARTIAL = (
    "ds date, feature int, slice string, value string, "
    + ", ".join(f"r_{s} bigint, w_{s} bigint" for s in STATES)
    + ", n double, s1 double, s2 double, low double, high double"
)
_PARTIAL_ARROW = pa.schema(
    [("ds", pa.date32()), ("feature", pa.int32()), ("slice", pa.string()), ("value", pa.string())]
    + [(f"{k}_{s}", pa.int64()) for s in STATES for k in ("r", "w")]
    + [(c, pa.float64()) for c in ("n", "s1", "s2", "low", "high")]
)


@dataclass(frozen=True)
class _Slice:
    name: str
    values: frozenset[str]


def build_coverage(
    training: DataFrame, features: Sequence[Feature], *, slices: Sequence[str], max_values: int
) -> DataFrame:
    """The coverage table of every day in `training`."""
    cuts = [_Slice(name, _largest(training, name, max_values)) for name in slices]
    used = dict.fromkeys(["ds", "sample_weight", "feature_states", *slices, *[f.name for f in features]])
    counted = training.select(*used).mapInArrow(_counter(list(features), cuts), _PARTIAL)
    sums = [F.sum(c).alias(c) for c in _PARTIAL_ARROW.names[4:-2]]
    merged = counted.groupBy("ds", "feature", "slice", "value").agg(
        *sums, F.min("low").alias("low"), F.max("high").alias("high")
    )
    names = F.array(*[F.lit(f.name) for f in features])
    return merged.select("ds", names[F.col("feature")].alias("feature"), "slice", "value", *_final_columns())


def _largest(training: DataFrame, name: str, most: int) -> frozenset[str]:
    """Values of a slice with the most weight on any day; bounded by `most` a day."""
    weights = training.groupBy("ds", F.col(name).cast("string").alias("value")).agg(F.sum("sample_weight").alias("w"))
    rank = F.row_number().over(Window.partitionBy("ds").orderBy(F.desc("w"), "value"))
    rows = (
        weights.where("value IS NOT NULL")
        .withColumn("rank", rank)
        .where(F.col("rank") <= most)
        .select("value")
        .distinct()
    )
    return frozenset(row["value"] for row in rows.limit(most * 400).collect())


def _final_columns() -> list[Column]:
    rows = sum((F.col(f"r_{s}") for s in STATES[1:]), F.col(f"r_{STATES[0]}"))
    units = sum((F.col(f"w_{s}") for s in STATES[1:]), F.col(f"w_{STATES[0]}"))
    mean = F.try_divide(F.col("s1"), F.col("n"))
    spread = F.sqrt(F.greatest(F.try_divide(F.col("s2"), F.col("n")) - mean * mean, F.lit(0.0)))
    covered = F.try_divide((F.col("w_real") + F.col("w_true_zero")).cast("double"), units.cast("double"))
    return [
        rows.alias("rows"),
        (units / _UNITS).alias("weight"),
        *[F.col(f"r_{s}").alias(f"rows_{s}") for s in STATES],
        *[(F.col(f"w_{s}") / _UNITS).alias(f"weight_{s}") for s in STATES],
        covered.alias("coverage"),
        mean.alias("mean"),
        spread.alias("std"),
        F.col("low").alias("min"),
        F.col("high").alias("max"),
    ]


def _counter(
    features: list[Feature], cuts: list[_Slice]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield from _count_batch(batch, features, cuts)

    return run


def _count_batch(batch: pa.RecordBatch, features: list[Feature], cuts: list[_Slice]) -> Iterator[pa.RecordBatch]:
    weights = np.asarray(batch.column("sample_weight").to_numpy(zero_copy_only=False))
    units = np.rint(weights * _UNITS).astype(np.int64)
    joined = b"".join(batch.column("feature_states").to_pylist())
    states = np.frombuffer(joined, dtype=np.uint8).reshape(batch.num_rows, len(features))
    numbers = _numbers(batch, features, states)
    days = batch.column("ds").cast(pa.int32()).to_numpy(zero_copy_only=False)
    for cut in [None, *cuts]:
        labels = pa.array(["all"] * len(days)) if cut is None else _values(batch, cut)
        encoded = labels.dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        packed = days.astype(np.int64) * len(encoded.dictionary) + codes
        order = np.argsort(packed, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(packed[order]) != 0])
        heads = order[starts]
        where = (days[heads], encoded.dictionary.take(pa.array(codes[heads])))
        yield _partial("all" if cut is None else cut.name, where, order, starts, units, weights, states, numbers)


def _values(batch: pa.RecordBatch, cut: _Slice) -> pa.Array:
    text = batch.column(cut.name).cast(pa.string())
    return pa.array([v if v is None or v in cut.values else OTHER for v in text.to_pylist()], pa.string())


def _numbers(batch: pa.RecordBatch, features: list[Feature], states: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Values (N, F) of measured numbers; NaN elsewhere, so that defaults and text stay out of the moments."""
    values = np.full(states.shape, np.nan)
    for position, feature in enumerate(features):
        if feature.type in ("bigint", "double", "int"):
            column = batch.column(feature.name).cast(pa.float64())
            values[:, position] = column.to_numpy(zero_copy_only=False)
    values[states > 1] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values


def _partial(
    name: str,
    where: tuple[NDArray[np.int32], pa.Array],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    units: NDArray[np.int64],
    weights: NDArray[np.float64],
    states: NDArray[np.uint8],
    numbers: NDArray[np.float64],
) -> pa.RecordBatch:
    """Sums of every (day, value) of one slice, for every feature: V x F rows."""
    days, values = where
    n_features = states.shape[1]
    arranged, unit = states[order], units[order][:, None]
    columns: list[pa.Array] = [
        pa.array(np.repeat(days, n_features), pa.int32()).cast(pa.date32()),
        pa.array(np.tile(np.arange(n_features, dtype=np.int32), len(days))),
        pa.array([name] * (len(days) * n_features)),
        values.take(pa.array(np.repeat(np.arange(len(days)), n_features))),
    ]
    for state in range(len(STATES)):
        is_state = arranged == state
        columns.append(pa.array(np.add.reduceat(is_state, starts, axis=0, dtype=np.int64).ravel()))
        columns.append(pa.array(np.add.reduceat(is_state * unit, starts, axis=0).ravel()))
    x, w = numbers[order], weights[order][:, None]
    have = ~np.isnan(x)
    x0 = np.where(have, x, 0.0)
    for term in (have * w, w * x0, w * x0 * x0):
        columns.append(pa.array(np.add.reduceat(term, starts, axis=0).ravel()))
    low = np.minimum.reduceat(np.where(have, x, np.inf), starts, axis=0).ravel()
    high = np.maximum.reduceat(np.where(have, x, -np.inf), starts, axis=0).ravel()
    columns += [pa.array(low, mask=np.isinf(low)), pa.array(high, mask=np.isinf(high))]
    return pa.RecordBatch.from_arrays(columns, schema=_PARTIAL_ARROW)
