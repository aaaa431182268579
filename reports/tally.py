"""Sums of one feature over the rows of a chunk, for every joint of slices at once. Numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reports.distinct import REGISTERS_OF_SLICE, REGISTERS_OF_WHOLE
from reports.parts import UNITS
from reports.slices import Joint
from reports.values import FIRST_VALUE, Block, Floats, Ints, Values, blocks_of

__all__ = ["Cells", "Tally", "cells_of", "tallies"]

_MOST_WEIGHTS = 64


@dataclass(frozen=True)
class Cells:
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

    @property
    def whole(self) -> bool:
        """Whether it is the whole of the traffic, in fine bins."""
        return not self.joint.places

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

    @cached_property
    def squares(self) -> Floats:
        """Squared weights (*joint)."""
        if len(self.classes):
            rows = np.bincount(self.cell, minlength=self.size).reshape(self.shape)
            return np.asarray(rows.astype(np.float64) @ (self.classes / UNITS) ** 2)
        found = np.bincount(self.cell, (self.units / UNITS) ** 2, minlength=self.size)
        return found.astype(np.float64).reshape(self.joint.shape)


def cells_of(joints: Sequence[Joint], codes: Sequence[Ints], units: Ints) -> list[Cells]:
    """The cells of rows that have `codes`, one array a slice, and weights `units` (N,), for every joint."""
    classes, of_row = np.unique(units, return_inverse=True)
    if len(classes) > _MOST_WEIGHTS:
        classes, of_row = np.zeros(0, np.int64), np.zeros(len(units), np.int64)
    many = max(len(classes), 1)
    return [Cells(joint, classes, units, joint.cells(codes, len(units)) * many + of_row) for joint in joints]


@dataclass(frozen=True)
class Tally:
    """Sums of one feature by the cells x classes (K,) of one joint.

    Attributes
    ----------
    bins : bins of codes 4, 5, ..., of numbers
    rows : by code (K, B)
    units : weight by code (K, B), where there are no classes, else nothing
    first, second : sums of distances from the pivot, and of their squares (K,); weighted where there are no classes
    least, most : finite numbers (K,); inf, and -inf, without any
    registers : (cells, M) of HyperLogLog; None for lists
    """

    bins: Ints
    rows: Ints
    units: Floats
    first: Floats
    second: Floats
    least: Floats
    most: Floats
    registers: NDArray[np.uint8] | None


def tallies(values: Values, cells: Sequence[Cells]) -> list[Tally]:
    """The sums of a feature by the cells of every joint."""
    made = [_empty(values, one) for one in cells]
    by_row = values.numbers is not None or values.hashes is not None
    for own in blocks_of(len(values.codes)):
        block = values.block(own) if by_row else None
        fine = values.codes[own]
        coarse = fine if values.fold is None else values.fold[0].take(fine)
        for one, tally in zip(cells, made, strict=True):
            _add_codes(tally, one, own, fine if one.whole else coarse)
            if block is not None:
                _add_values(tally, one, own, block)
    return made


def _empty(values: Values, one: Cells) -> Tally:
    bins, size = values.bins, values.size
    if not one.whole and values.fold is not None:
        bins, size = values.fold[1], FIRST_VALUE + len(values.fold[1]) - 1
    rows = np.zeros((one.size, size), np.int64)
    units = np.zeros((0 if len(one.classes) else one.size, size))
    endless = np.full(one.size, np.inf)
    kept = values.single is not None or values.numbers is not None or values.hashes is not None
    many = 1 << (REGISTERS_OF_WHOLE if one.whole else REGISTERS_OF_SLICE)
    registers = np.zeros((int(np.prod(one.joint.shape)), many), np.uint8) if kept else None
    found = bins if bins is not None else np.zeros(0, np.int64)
    return Tally(found, rows, units, np.zeros(one.size), np.zeros(one.size), endless, -endless, registers)


def _add_codes(tally: Tally, one: Cells, own: slice, codes: Ints) -> None:
    at = one.cell[own] * tally.rows.shape[1]
    at += codes
    np.add.at(tally.rows.reshape(-1), at, np.ones(len(at), np.int64))
    if not len(one.classes):
        np.add.at(tally.units.reshape(-1), at, one.units[own].astype(np.float64))


def _add_values(tally: Tally, one: Cells, own: slice, block: Block) -> None:
    if block.distance is not None:
        assert block.square is not None and block.low is not None and block.high is not None
        cell, weight = one.cell[own], 1.0 if len(one.classes) else one.units[own]
        with np.errstate(over="ignore"):
            np.add.at(tally.first, cell, block.distance * weight)
            np.add.at(tally.second, cell, block.square * weight)
        np.minimum.at(tally.least, cell, block.low)
        np.maximum.at(tally.most, cell, block.high)
    assert tally.registers is not None
    at, rank = block.fine if one.whole else block.coarse
    np.maximum.at(tally.registers.reshape(-1), one.joint_cell[own] * tally.registers.shape[1] + at, rank)
