"""Counts of some rows of one feature in one slice value, in a form that adds up: what tasks send, and what days merge to."""

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import STATES

__all__ = ["PARTS", "UNITS", "listed", "merge", "moments_weight"]

UNITS = 1e6
"""Weights are added up in whole millionths, so that the sum does not depend on the order."""

PARTS = pa.schema(
    [("feature", pa.int64()), ("day", pa.int32()), ("slice", pa.string()), ("value", pa.string())]
    + [(f"{kind}_{state}", pa.int64()) for state in STATES for kind in ("rows", "units")]
    + [("squares", pa.float64()), ("rows_infinite", pa.int64()), ("units_infinite", pa.int64())]
    + [(name, pa.float64()) for name in ("mean", "m2", "low", "high")]
    + [("bins", pa.list_(pa.int32())), ("bin_units", pa.list_(pa.int64()))]
    + [("texts", pa.list_(pa.string())), ("text_units", pa.list_(pa.int64())), ("registers", pa.binary())]
)
"""Columns of a part; squares: sum of squared weights; m2: weighted sum of squared distances from the mean; registers: reports.distinct."""

_SUMS = [name for name in PARTS.names if name.startswith(("rows_", "units_"))] + ["squares"]
Ints = NDArray[np.int64]


def merge(parts: pa.Table, group: Ints, *, most_texts: int) -> pa.Table:
    """Parts of the same group (N,) of 0 .. G - 1 as one; the columns of the key are those of the group's first part.

    Parameters
    ----------
    most_texts : texts kept of each group, those of the greatest weight
    """
    count = int(group.max(initial=-1)) + 1
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(count))
    made: dict[str, pa.Array] = {
        name: parts.column(name).take(pa.array(order[starts])).combine_chunks() for name in PARTS.names[:4]
    }
    for name in _SUMS:
        values = parts.column(name).to_numpy()[order]
        made[name] = pa.array(np.add.reduceat(values, starts) if count else values)
    made |= _moments(parts, order, starts, group[order], count)
    made |= _united(parts, group, count, keys="bins", units="bin_units", most=None)
    made |= _united(parts, group, count, keys="texts", units="text_units", most=most_texts)
    made["registers"] = _registers(parts, order, starts)
    return pa.table([made[name] for name in PARTS.names], schema=PARTS)


def moments_weight(parts: pa.Table) -> NDArray[np.float64]:
    """Weight (N,) of the finite values, in units."""
    real, zero, infinite = (parts.column(f"units_{name}").to_numpy() for name in ("real", "true_zero", "infinite"))
    return (real + zero - infinite).astype(np.float64)


def _moments(parts: pa.Table, order: Ints, starts: Ints, group: Ints, count: int) -> dict[str, pa.Array]:
    """Chan, Golub, LeVeque 1979: means and sums of squares of parts, put together without cancellation."""
    weight = moments_weight(parts)[order]
    mean, m2, low, high = (parts.column(n).to_numpy(zero_copy_only=False)[order] for n in ("mean", "m2", "low", "high"))
    have = (weight > 0) & ~np.isnan(mean)
    weight, mean, m2 = (np.where(have, values, 0.0) for values in (weight, mean, m2))
    total = np.bincount(group, weight, minlength=count)
    with np.errstate(all="ignore"):
        whole = np.bincount(group, weight * mean, minlength=count) / total
        spread = np.where(have, weight * (mean - whole[group]) ** 2, 0.0)
        least, most = (f.reduceat(v, starts) if count else v for f, v in ((np.fmin, low), (np.fmax, high)))
    whole = np.where(least == most, least, whole)
    squares = np.where(least == most, 0.0, np.bincount(group, m2 + spread, minlength=count))
    found = {
        "mean": np.where(np.isfinite(whole), whole, np.nan),
        "m2": np.where(total > 0, squares, np.nan),
        "low": least,
        "high": most,
    }
    return {name: pa.array(values, mask=np.isnan(values)) for name, values in found.items()}


def _united(
    parts: pa.Table, group: Ints, count: int, *, keys: str, units: str, most: int | None
) -> dict[str, pa.Array]:
    """Lists of keys and their units put together, ascending by key; with `most` by units, greatest first, and cut."""
    column = parts.column(keys).combine_chunks()
    owner = np.repeat(group, column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    values = parts.column(units).combine_chunks().flatten().to_numpy()
    coded = column.flatten().dictionary_encode()
    names = coded.dictionary
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(np.asarray(names.to_pylist(), dtype=object if most else None), kind="stable")] = np.arange(
        len(names)
    )
    code = rank[coded.indices.to_numpy(zero_copy_only=False)] if len(names) else np.zeros(0, np.int64)
    pair, at = np.unique(owner * max(len(names), 1) + code, return_inverse=True)
    total = np.zeros(len(pair), np.int64)
    np.add.at(total, at, values)
    owner, code = np.divmod(pair, max(len(names), 1))
    if most is not None:
        order = np.lexsort((code, -total, owner))
        owner, code, total = owner[order], code[order], total[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)
        owner, code, total = owner[place < most], code[place < most], total[place < most]
    sorted_names = names.take(pa.array(np.argsort(rank)))
    return {
        keys: listed(owner, sorted_names.take(pa.array(code)), count=count, kind=PARTS.field(keys).type),
        units: listed(owner, pa.array(total), count=count, kind=PARTS.field(units).type),
    }


def listed(owner: Ints, values: pa.Array, *, count: int, kind: pa.DataType) -> pa.Array:
    """`count` lists of the values whose owner (ascending) is 0, 1, ...; null where there are none."""
    offsets = np.searchsorted(owner, np.arange(count + 1)).astype(np.int32)
    empty = np.append(np.diff(offsets) == 0, False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=empty), values.cast(kind.value_type))


def _registers(parts: pa.Table, order: Ints, starts: Ints) -> pa.Array:
    """The greater of each register; parts of a group have as many, and null is none."""
    blobs: Sequence[bytes | None] = parts.column("registers").to_pylist()
    bounds = [*starts.tolist(), len(order)]
    found: list[bytes | None] = []
    for first, last in itertools.pairwise(bounds):
        own = [np.frombuffer(blob, np.uint8) for i in order[first:last] if (blob := blobs[i]) is not None]
        found.append(np.maximum.reduce(own).tobytes() if own else None)
    return pa.array(found, pa.binary())
