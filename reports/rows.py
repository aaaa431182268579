"""Between parts, which add up, and rows of the table `coverage`, which people read; and the merge of days. No Spark."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.states import STATES
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, QUANTILES, list_quantiles
from reports.distinct import estimate
from reports.parts import PARTS, UNITS, merge, moments_weight

__all__ = [
    "KEPT_TEXTS",
    "PART_COLUMNS",
    "codes_of",
    "coverage_rows",
    "group_of",
    "merged_days",
    "numbered",
    "parts_of_rows",
]

KEPT_TEXTS = 50
"""Texts kept of a feature in a slice value, those with the greatest weight."""

PART_COLUMNS = (
    "feature", "type", "slice", "value", "rows", "weight", "effective_rows",
    *(f"{kind}_{state}" for kind in ("rows", "weight") for state in STATES),
    "rows_infinite", "weight_infinite", "mean", "std", "min", "max", "top_values", "top_weights", "bins", "bin_weights",
    "distinct_sketch", "first_ds", "ds",
)  # fmt: skip
"""Columns of `coverage` that parts are made of again."""

_QUANTILE_NAMES = [f"q{share * 100:02.0f}" for share in QUANTILES]


def parts_of_rows(rows: pa.Table, *, feature: NDArray[np.int64]) -> pa.Table:
    """PARTS of rows of `coverage` (PART_COLUMNS); `feature` (N,) is the number of each row's feature."""
    found: dict[str, pa.Array] = {
        "feature": pa.array(feature),
        "day": rows.column("ds").cast(pa.int32()),
        "squares": pc.if_else(
            pc.greater(rows.column("effective_rows"), 0),
            pc.divide(pc.power(rows.column("weight"), 2), rows.column("effective_rows")),
            0.0,
        ),
        "rows_infinite": rows.column("rows_infinite"),
        "units_infinite": _units(rows.column("weight_infinite")),
        "low": rows.column("min"),
        "high": rows.column("max"),
        "bin_units": _list_units(rows.column("bin_weights")),
        "texts": rows.column("top_values"),
        "text_units": _list_units(rows.column("top_weights")),
        "registers": rows.column("distinct_sketch"),
    }
    for state in STATES:
        found[f"rows_{state}"] = rows.column(f"rows_{state}")
        found[f"units_{state}"] = _units(rows.column(f"weight_{state}"))
    found |= {name: rows.column(name) for name in ("slice", "value", "mean", "bins")}
    weight = pc.add(found["units_real"], found["units_true_zero"])
    weight = pc.subtract(weight, found["units_infinite"]).cast(pa.float64())
    found["m2"] = pc.multiply(pc.power(rows.column("std"), 2), weight)
    return pa.table([found[name].cast(PARTS.field(name).type) for name in PARTS.names], schema=PARTS)


def merged_days(rows: pa.Table) -> pa.Table:
    """Coverage of several days together, by feature, slice and value, as if their rows were of one: what rows of `coverage` need.

    Parameters
    ----------
    rows : PART_COLUMNS

    Returns
    -------
    table of `coverage`'s columns without those that look back (schemas.coverage.HISTORY_COLUMNS), ds the latest
    """
    number, kinds = numbered(rows)
    parts = parts_of_rows(rows, feature=number)
    order = pc.sort_indices(parts, sort_keys=[("day", "descending")])
    parts = parts.take(order)
    keys = [parts.column(name).combine_chunks() for name in ("slice", "value")]
    group = group_of([parts.column("feature").to_numpy(), *(codes_of(key) for key in keys)])
    return coverage_rows(merge(parts, group, most_texts=KEPT_TEXTS), features=kinds)


def numbered(rows: pa.Table) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """Number (N,) of each row's feature and type, and what the numbers stand for."""
    both = rows.group_by(["feature", "type"], use_threads=False).aggregate([])
    kinds = list(zip(both.column("feature").to_pylist(), both.column("type").to_pylist(), strict=True))
    place = {kind: number for number, kind in enumerate(kinds)}
    own = zip(rows.column("feature").to_pylist(), rows.column("type").to_pylist(), strict=True)
    return np.array([place[kind] for kind in own], dtype=np.int64), kinds


def codes_of(column: pa.Array) -> NDArray[np.int64]:
    """Number of each text (N,), the same for the same; null is one of them."""
    return column.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False).astype(np.int64)


def group_of(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number 0, 1, ... of each combination of keys (N,), in their order."""
    packed = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        _, code = np.unique(key, return_inverse=True)
        packed = packed * (code.max(initial=0) + 1) + code
        packed = np.unique(packed, return_inverse=True)[1]
    return packed


def coverage_rows(parts: pa.Table, *, features: Sequence[tuple[str, str]]) -> pa.Table:
    """Rows of `coverage` without HISTORY_COLUMNS; `features` are the names and types that parts number."""
    units = {state: parts.column(f"units_{state}").to_numpy() for state in STATES}
    total = np.sum(list(units.values()), axis=0)
    squares, values = parts.column("squares").to_numpy(), moments_weight(parts)
    covered = units["real"] + units["true_zero"]
    number = parts.column("feature").combine_chunks()
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = (total / UNITS) ** 2 / squares
        coverage, spread = covered / total, np.sqrt(parts.column("m2").to_numpy() / values)
    found: dict[str, pa.Array] = {
        "feature": pa.array([name for name, _ in features], pa.string()).take(number),
        "type": pa.array([kind for _, kind in features], pa.string()).take(number),
        "slice": parts.column("slice"),
        "value": parts.column("value"),
        "rows": pa.array(np.sum([parts.column(f"rows_{state}").to_numpy() for state in STATES], axis=0)),
        "weight": pa.array(total / UNITS),
        "effective_rows": _or_null(effective),
        "coverage": _or_null(coverage),
        "rows_infinite": parts.column("rows_infinite"),
        "weight_infinite": pa.array(parts.column("units_infinite").to_numpy() / UNITS),
        "mean": parts.column("mean"),
        "std": _finite_or_null(spread),
        "min": parts.column("low"),
        "max": parts.column("high"),
        "distinct": _distinct(parts.column("registers")),
        "top_values": parts.column("texts"),
        "top_weights": _list_weights(parts.column("text_units")),
        "bins": parts.column("bins"),
        "bin_weights": _list_weights(parts.column("bin_units")),
        "distinct_sketch": parts.column("registers"),
        "ds": parts.column("day").cast(pa.date32()),
    }
    for state in STATES:
        found[f"rows_{state}"] = parts.column(f"rows_{state}")
        found[f"weight_{state}"] = pa.array(units[state] / UNITS)
    found |= _quantiles(parts, [features[i][1] in ("int", "bigint") for i in number.to_pylist()])
    found["top_share"] = _or_null(_top_units(parts) / np.where(covered > 0, covered, np.nan))
    return pa.table(found)


def _quantiles(parts: pa.Table, whole: Sequence[bool]) -> dict[str, pa.Array]:
    """Quantile columns, none beyond the least and greatest number; `whole` (N,) tells parts of whole numbers."""
    fine = np.array([name == "all" for name in parts.column("slice").to_pylist()], dtype=bool)
    found = np.full((parts.num_rows, len(QUANTILES)), np.nan)
    for rows, bits in ((np.flatnonzero(fine), BITS_OF_WHOLE), (np.flatnonzero(~fine), BITS_OF_SLICE)):
        own = parts.select(["bins", "bin_units"]).take(pa.array(rows))
        bins, units = (own.column(name).combine_chunks() for name in ("bins", "bin_units"))
        offsets = np.concatenate([[0], np.cumsum(bins.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))])
        flat = bins.flatten().to_numpy(), units.flatten().to_numpy()
        found[rows] = list_quantiles(offsets, *flat, bits=bits, whole=np.array(whole, dtype=bool)[rows])
    low, high = (parts.column(n).to_numpy(zero_copy_only=False)[:, None] for n in ("low", "high"))
    found = np.where(np.isfinite(found), np.fmin(np.fmax(found, low), high), found)
    return {name: _or_null(found[:, i].copy()) for i, name in enumerate(_QUANTILE_NAMES)}


def _top_units(parts: pa.Table) -> NDArray[np.float64]:
    """Weight of the commonest bin or text of each part, in units; NaN without any."""
    found = np.full(parts.num_rows, np.nan)
    for name in ("bin_units", "text_units"):
        lists = parts.column(name).combine_chunks()
        offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
        filled = np.flatnonzero(np.diff(offsets))
        if len(filled):
            found[filled] = np.maximum.reduceat(values, offsets[filled])
    return found


def _distinct(registers: pa.ChunkedArray) -> pa.Array:
    """Estimates; null for what has no registers."""
    found: list[int | None] = [None] * len(registers)
    by_size: dict[int, list[tuple[int, bytes]]] = {}
    for row, blob in enumerate(registers.to_pylist()):
        if blob is not None:
            by_size.setdefault(len(blob), []).append((row, blob))
    for size, blobs in by_size.items():
        counts = estimate(np.frombuffer(b"".join(blob for _, blob in blobs), np.uint8).reshape(-1, size))
        for (row, _), count in zip(blobs, counts.tolist(), strict=True):
            found[row] = count
    return pa.array(found, pa.int64())


def _or_null(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _finite_or_null(values: NDArray[np.float64]) -> pa.Array:
    """Squares of numbers above 1e154 are too large for a double: no value, not an infinite one."""
    return pa.array(values, mask=~np.isfinite(values))


def _units(weights: pa.ChunkedArray) -> pa.Array:
    return pa.array(np.rint(weights.to_numpy() * UNITS).astype(np.int64))


def _list_units(lists: pa.ChunkedArray) -> pa.Array:
    column = lists.combine_chunks()
    values = np.rint(column.values.to_numpy(zero_copy_only=False) * UNITS).astype(np.int64)
    return _same_lists(column, pa.array(values))


def _list_weights(lists: pa.ChunkedArray) -> pa.Array:
    column = lists.combine_chunks()
    return _same_lists(column, pa.array(column.values.to_numpy() / UNITS))


def _same_lists(column: pa.ListArray, values: pa.Array) -> pa.Array:
    """Lists of the same lengths, null where these are, with other values."""
    mask = np.append(np.asarray(column.is_null()), False)
    return pa.ListArray.from_arrays(pa.array(column.offsets.to_numpy(), mask=mask), values)
