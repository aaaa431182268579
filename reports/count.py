"""Counts every feature of a chunk of rows in every slice at once: one column in memory at a time. Numpy and Arrow only.

Every feature is counted once a joint (reports.slices) over cell x code (reports.tally), and summed up to its slices. Weights
are those of few strata, so that rows are counted by weight and multiplied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.config import Feature
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, coarser
from reports.distinct import REGISTERS_OF_SLICE, REGISTERS_OF_WHOLE
from reports.partrows import SlicePart, part_table
from reports.parts import UNITS
from reports.slices import Cut, Reader, joints_of
from reports.tally import Cells, Tally, cells_of, tallies
from reports.values import ZERO, Values, values_of

__all__ = ["Chunk", "count_chunk"]

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


def count_chunk(chunk: Chunk, features: Sequence[Feature], cuts: Sequence[Cut]) -> Iterator[pa.Table]:
    """One table of PARTS a feature: a row for the whole and for every value of every slice that has rows."""
    codes = [cut.codes(chunk.read, chunk.states) for cut in cuts]
    cells = cells_of(joints_of(cuts), codes, chunk.units)
    for position, feature in enumerate(features):
        values = values_of(chunk.read(feature.name), chunk.states[position], feature)
        found = zip(cells, tallies(values, cells), strict=True)
        parts = [part for one, tally in found for part in _slices(one, tally, values, cuts)]
        yield part_table(parts, feature=position, day=chunk.day)


def _slices(one: Cells, tally: Tally, values: Values, cuts: Sequence[Cut]) -> Iterator[SlicePart]:
    """The whole, or every slice of the joint."""
    rows, units = _by_code(one, tally)
    moments = _moments_of_codes(units, values.single) if _is_number(values.single) else _moments(one, tally, values)
    registers = _registers(one, tally, values, rows)
    bins = tally.bins
    if not one.whole and values.single is not None:
        bins = coarser(bins, by=BITS_OF_WHOLE - BITS_OF_SLICE)
    if one.whole:
        first = None if registers is None else registers[None]
        yield SlicePart(None, rows[None], units[None], one.squares[None], moments[None], first, values, bins)
    for axis, place in enumerate(one.joint.places):
        others = tuple(i for i in range(len(one.joint.places)) if i != axis)
        summed = rows.sum(axis=others), units.sum(axis=others), one.squares.sum(axis=others)
        own = registers.max(axis=others, initial=0) if registers is not None else None
        yield SlicePart(cuts[place], *summed, _together(moments, others), own, values, bins)


def _is_number(single: object) -> TypeGuard[NDArray[np.float64]]:
    return isinstance(single, np.ndarray)


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


def _endless(*, whole: bool) -> int:
    return 0x7FF << (BITS_OF_WHOLE if whole else BITS_OF_SLICE)


def _by_code(one: Cells, tally: Tally) -> tuple[Ints, Ints]:
    """Rows and units (*joint, B) of every code."""
    rows = tally.rows.reshape(*one.shape, -1)
    if len(one.classes):
        return rows.sum(axis=-2), (rows * one.classes[:, None]).sum(axis=-2)
    return rows[..., 0, :], np.rint(tally.units).astype(np.int64).reshape(*one.shape, -1)[..., 0, :]


def _moments(one: Cells, tally: Tally, values: Values) -> NDArray[np.float64]:
    """(*joint, 5): units, mean, sum of squared distances from it in units, least and greatest of the finite numbers."""
    found = np.full((one.size, 5), np.nan)
    found[:, 0] = 0.0
    if values.numbers is not None:
        finite = np.abs(tally.bins) != _endless(whole=one.whole)
        counted = tally.rows if len(one.classes) else tally.units
        n = counted[:, ZERO : ZERO + len(finite)][:, finite].sum(axis=1).astype(np.float64)
        with np.errstate(all="ignore"):
            mean = tally.first / n
            square = tally.second / n - mean * mean
        found[:, 0] = n * (np.resize(one.classes, one.size) if len(one.classes) else 1)
        found[:, 1] = mean + values.pivot
        found[:, 2] = np.maximum(square, 0.0) * found[:, 0]
        found[:, 3], found[:, 4] = np.where(n > 0, tally.least, np.nan), np.where(n > 0, tally.most, np.nan)
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


def _registers(one: Cells, tally: Tally, values: Values, rows: Ints) -> NDArray[np.uint8] | None:
    """HyperLogLog registers (*joint, M) of the values; `rows` (*joint, B) by code."""
    found = tally.registers
    if found is not None and values.single is not None:
        at, rank = values.single_places[REGISTERS_OF_WHOLE if one.whole else REGISTERS_OF_SLICE]
        cell, code = np.nonzero(rows.reshape(len(found), -1)[:, ZERO : ZERO + len(at)])
        np.maximum.at(found.reshape(-1), cell * found.shape[1] + at[code], rank[code])
    return None if found is None else found.reshape(*one.joint.shape, -1)
