"""Counts every feature of a chunk of rows in every slice at once: one column in memory at a time. Numpy and Arrow only.

Every feature is counted by one bincount a joint (reports.slices) over cell x code, and summed up to its slices. Weights are
those of few strata, so that rows are counted by weight and multiplied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import STATES
from headrace.config import Feature
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, coarser
from reports.distinct import REGISTERS_OF_SLICE, REGISTERS_OF_WHOLE
from reports.parts import PARTS, UNITS, listed
from reports.slices import Cut, Joint, Reader, joints_of
from reports.values import FIRST_VALUE, ZERO, Values, values_of

__all__ = ["Chunk", "count_chunk"]

_MOST_WEIGHTS = 64
_TEXTS_SENT = 200
_SPECIAL = {"default_filled": 0, "null": 1, "stale": 2, "no_entity": 3, "true_zero": ZERO}
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Rows of one day.

    Attributes
    ----------
    day : days since 1970-01-01
    states : uint8 (F, N)
    weights : float64 (N,) sample weights
    read : gives a column as one Arrow array (N,)
    """

    day: int
    states: NDArray[np.uint8]
    weights: NDArray[np.float64]
    read: Reader

    @cached_property
    def units(self) -> Ints:
        """Weights in whole millionths."""
        return np.rint(self.weights * UNITS).astype(np.int64)


@dataclass(frozen=True)
class _Cells:
    """The rows by one joint's cells.

    Attributes
    ----------
    classes : different weights in units (C,), or none where there are too many: then `units` (N,) are added up row by row
    cell : cell x class of each row
    """

    joint: Joint
    classes: Ints
    units: Ints
    cell: Ints

    @cached_property
    def joint_cell(self) -> Ints:
        """Cell of each row, whatever its class."""
        return self.cell // self.shape[-1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells by slice, then classes."""
        return (*self.joint.shape, max(len(self.classes), 1))

    @property
    def size(self) -> int:
        """Number of cells x classes."""
        return int(np.prod(self.shape))


def count_chunk(chunk: Chunk, features: Sequence[Feature], cuts: Sequence[Cut]) -> Iterator[pa.Table]:
    """One table of PARTS a feature: a row for the whole and for every value of every slice that has rows."""
    codes = [cut.codes(chunk.read, chunk.states) for cut in cuts]
    arranged = [_cells(joint, codes, chunk) for joint in joints_of(cuts)]
    for position, feature in enumerate(features):
        values = values_of(chunk.read(feature.name), chunk.states[position], feature)
        parts = [part for one in arranged for part in _count(one, values, cuts)]
        yield _table(parts, feature=position, day=chunk.day)


def _cells(joint: Joint, codes: Sequence[Ints], chunk: Chunk) -> _Cells:
    classes, of_row = np.unique(chunk.units, return_inverse=True)
    if len(classes) > _MOST_WEIGHTS:
        classes, of_row = np.zeros(0, np.int64), np.zeros(len(chunk.units), np.int64)
    return _Cells(joint, classes, chunk.units, joint.cells(codes, len(chunk.units)) * max(len(classes), 1) + of_row)


@dataclass(frozen=True)
class _Part:
    """Counts of V values of one slice: rows and units by code (V, B), and what does not follow from them."""

    cut: Cut | None
    rows: Ints
    units: Ints
    squares: NDArray[np.float64]
    moments: NDArray[np.float64]
    registers: NDArray[np.uint8] | None
    values: Values
    bins: Ints


def _count(one: _Cells, values: Values, cuts: Sequence[Cut]) -> Iterator[_Part]:
    """The whole, or every slice of the joint."""
    whole = not one.joint.places
    codes, bins = (values.codes, values.bins) if whole else values.coarse
    size = values.size if bins is None else FIRST_VALUE + len(bins) - 1
    rows, units, squares, cells = _by_code(one, codes, size)
    found = bins if bins is not None else np.zeros(0, np.int64)
    registers = _registers(one, values, rows, whole=whole)
    if isinstance(values.single, np.ndarray):
        moments = _moments_of_codes(units, values.single)
    else:
        moments = _moments(one, values, _finite(cells, found, whole=whole))
    if not whole and values.single is not None and bins is not None:
        found = coarser(found, by=BITS_OF_WHOLE - BITS_OF_SLICE)
    if whole:
        yield _Part(None, rows[None], units[None], squares[None], moments[None], _first(registers), values, found)
    for axis, place in enumerate(one.joint.places):
        others = tuple(i for i in range(len(one.joint.places)) if i != axis)
        summed = rows.sum(axis=others), units.sum(axis=others), squares.sum(axis=others)
        own = registers.max(axis=others, initial=0) if registers is not None else None
        yield _Part(cuts[place], *summed, _together(moments, others), own, values, found)


def _moments_of_codes(units: Ints, single: NDArray[np.float64]) -> NDArray[np.float64]:
    """`_moments` where codes 4, 5, ... have one value each."""
    weights = units[..., ZERO:]
    n = weights.sum(axis=-1)
    order = np.argsort(single, kind="stable")
    have = weights[..., order] > 0
    with np.errstate(all="ignore"):
        mean = (weights @ single) / n
        spread = weights @ (single * single) - n * mean * mean  # exact enough: these are small whole numbers
    least, most = single[order[have.argmax(axis=-1)]], single[order[::-1][have[..., ::-1].argmax(axis=-1)]]
    found = np.stack([n, mean, np.maximum(spread, 0.0), least, most], axis=-1)
    found[n == 0, 1:] = np.nan
    return found


def _finite(cells: Ints, bins: Ints, *, whole: bool) -> NDArray[np.float64]:
    """Rows (units without classes) of each cell x class that have a finite number."""
    finite = np.abs(bins) != _endless(whole=whole)
    return cells[..., ZERO : ZERO + len(bins)][..., finite].sum(axis=-1).astype(np.float64)


def _endless(*, whole: bool) -> int:
    return 0x7FF << (BITS_OF_WHOLE if whole else BITS_OF_SLICE)


def _first(registers: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    return None if registers is None else registers[None]


def _by_code(one: _Cells, codes: Ints, size: int) -> tuple[Ints, Ints, NDArray[np.float64], Ints]:
    """Rows and units (*joint, B) of every code, squared weights (*joint), and rows (units) by class (*joint, C, B)."""
    at = one.cell * size
    at += codes
    shape = (*one.shape, size)
    length = one.size * size
    rows = np.bincount(at, minlength=length).reshape(shape)
    if len(one.classes):
        units = (rows * one.classes[:, None]).sum(axis=-2)
        squares = rows.sum(axis=-1).astype(np.float64) @ (one.classes / UNITS) ** 2
        return rows.sum(axis=-2), units, squares, rows
    weighed = np.rint(np.bincount(at, one.units, minlength=length)).astype(np.int64).reshape(shape)
    by_cell = np.bincount(one.cell, (one.units / UNITS) ** 2, minlength=one.size).reshape(one.shape)
    return rows[..., 0, :], weighed[..., 0, :], by_cell[..., 0].astype(np.float64), weighed


def _moments(one: _Cells, values: Values, finite: NDArray[np.float64]) -> NDArray[np.float64]:
    """(*joint, 5): units, mean, sum of squared distances from it in units, least and greatest of the finite numbers.

    Parameters
    ----------
    finite : rows of each cell x class that have one; units, where there are no classes
    """
    found = np.full((one.size, 5), np.nan)
    n = finite.ravel()
    found[:, 0] = n * (np.resize(one.classes, one.size) if len(one.classes) else 1)
    if values.distances is not None:
        first, second, low, high = values.distances
        with np.errstate(all="ignore"):
            mean = np.bincount(one.cell, first if len(one.classes) else first * one.units, minlength=one.size) / n
            square = (
                np.bincount(one.cell, second if len(one.classes) else second * one.units, minlength=one.size) / n
                - mean * mean
            )
        found[:, 1] = mean + values.pivot
        found[:, 2] = np.maximum(square, 0.0) * found[:, 0]
        least, most = np.full(one.size, np.inf), np.full(one.size, -np.inf)
        np.minimum.at(least, one.cell, low)
        np.maximum.at(most, one.cell, high)
        found[:, 3], found[:, 4] = np.where(n > 0, least, np.nan), np.where(n > 0, most, np.nan)
    return _together(found.reshape(*one.shape, 5), (len(one.shape) - 1,))


def _together(moments: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Moments over some axes put together (Chan, Golub, LeVeque 1979)."""
    if not axes:
        return moments
    n, mean, m2, low, high = (moments[..., i] for i in range(5))
    total = n.sum(axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        whole = np.where(n > 0, n * mean, 0.0).sum(axis=axes, keepdims=True) / total
        spread = np.where(n > 0, m2 + n * (mean - whole) ** 2, 0.0).sum(axis=axes)
    least, most = np.fmin.reduce(low, axis=axes), np.fmax.reduce(high, axis=axes)
    return np.stack([total.squeeze(axes), whole.squeeze(axes), spread, least, most], axis=-1)


def _registers(one: _Cells, values: Values, rows: Ints, *, whole: bool) -> NDArray[np.uint8] | None:
    """HyperLogLog registers (*joint, M) of the values; `rows` (*joint, B) by code."""
    bits = REGISTERS_OF_WHOLE if whole else REGISTERS_OF_SLICE
    cells = int(np.prod(one.joint.shape))
    found = np.zeros(cells << bits, np.uint8)
    if values.single is not None:
        at, rank = values.single_places[bits]
        cell, code = np.nonzero(rows.reshape(cells, -1)[:, ZERO : ZERO + len(at)])
        np.maximum.at(found, (cell << bits) + at[code], rank[code])
    elif values.hashes is not None:
        at, rank = values.fine_places if whole else values.coarse_places
        place = one.joint_cell << bits
        place += at
        np.maximum.at(found, place, rank)
    else:
        return None
    return found.reshape(*one.joint.shape, 1 << bits)


def _table(parts: Sequence[_Part], *, feature: int, day: int) -> pa.Table:
    return pa.concat_tables([_slice_table(part, feature=feature, day=day) for part in parts])


def _slice_table(part: _Part, *, feature: int, day: int) -> pa.Table:
    """PARTS of the values that have rows."""
    have = np.flatnonzero(part.rows.sum(axis=1))
    rows, units, moments = part.rows[have], part.units[have], part.moments[have]
    names = ["all"] if part.cut is None else part.cut.values
    made: dict[str, pa.Array] = {
        "feature": pa.array(np.full(len(have), feature)),
        "day": pa.array(np.full(len(have), day, np.int32)),
        "slice": pa.repeat("all" if part.cut is None else part.cut.declared.name, len(have)),
        "value": pa.array([names[i] for i in have], pa.string()),
        "squares": pa.array(part.squares[have]),
    }
    for kind, counted in (("rows", rows), ("units", units)):
        for state in STATES[1:]:
            made[f"{kind}_{state}"] = pa.array(counted[:, _SPECIAL[state]])
        made[f"{kind}_real"] = pa.array(counted[:, FIRST_VALUE:].sum(axis=1))
    with_numbers = len(part.bins) > 0
    finite = moments[:, 0] > 0
    for column, name in enumerate(("mean", "m2", "low", "high"), start=1):
        made[name] = pa.array(moments[:, column], mask=~finite)
    made |= _bins(part, rows, units) if with_numbers else _texts(part, units)
    blobs = [row.tobytes() for row in part.registers[have]] if part.registers is not None else [None] * len(have)
    made["registers"] = pa.array(blobs, pa.binary())
    return pa.table([made[name].cast(PARTS.field(name).type) for name in PARTS.names], schema=PARTS)


def _bins(part: _Part, rows: Ints, units: Ints) -> dict[str, pa.Array]:
    values = units[:, ZERO:]
    bins = part.bins
    order = np.argsort(bins, kind="stable")
    values, bins = values[:, order], bins[order]
    owner, at = np.nonzero(values)
    endless = np.abs(np.concatenate([np.zeros(FIRST_VALUE, np.int64), part.bins[1:]])) == _endless(
        whole=part.cut is None
    )
    kinds = {name: PARTS.field(name).type for name in ("bins", "bin_units", "texts", "text_units")}
    return {
        "bins": listed(owner, pa.array(bins[at]), count=len(rows), kind=kinds["bins"]),
        "bin_units": listed(owner, pa.array(values[owner, at]), count=len(rows), kind=kinds["bin_units"]),
        "texts": pa.nulls(len(rows), kinds["texts"]),
        "text_units": pa.nulls(len(rows), kinds["text_units"]),
        "rows_infinite": pa.array(rows[:, endless].sum(axis=1)),
        "units_infinite": pa.array(units[:, endless].sum(axis=1)),
    }


def _texts(part: _Part, units: Ints) -> dict[str, pa.Array]:
    """The texts of each value with the greatest weight, as far as they are told apart."""
    named = units[:, FIRST_VALUE:-1] if part.values.texts else units[:, :0]
    top = np.argsort(-named, axis=1, kind="stable")[:, :_TEXTS_SENT]
    weight = np.take_along_axis(named, top, axis=1)
    owner, place = np.nonzero(weight)
    texts = pa.array(list(part.values.texts[1:-1]), pa.string()).take(pa.array(top[owner, place]))
    nothing, none = pa.nulls(len(units)), pa.array(np.zeros(len(units), np.int64))
    return {
        "bins": nothing,
        "bin_units": nothing,
        "texts": listed(owner, texts, count=len(units), kind=PARTS.field("texts").type),
        "text_units": listed(
            owner, pa.array(weight[owner, place]), count=len(units), kind=PARTS.field("text_units").type
        ),
        "rows_infinite": none,
        "units_infinite": none,
    }
