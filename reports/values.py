"""One feature of a chunk of rows as codes to count: four states without a value, measured zeros, then bins or texts.

What is made of every row is made block by block, so that it stays in the cache of a core until it has been counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import REAL
from headrace.config import Feature
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, bin_codes, bin_low, coarser
from reports.distinct import REGISTERS_OF_SLICE, REGISTERS_OF_WHOLE, hash_numbers, hash_texts, places

__all__ = ["FIRST_VALUE", "ZERO", "Block", "Floats", "Ints", "Values", "blocks_of", "values_of"]

ZERO, FIRST_VALUE = 4, 5
"""Codes 0 to 3 are the states default_filled, null, stale, no_entity."""

_ROWS_PER_BLOCK = 1 << 15
_MOST_TEXTS = 1000  # texts told apart in a chunk, by weight; the others are counted as values without a name
_ENDLESS = int(bin_codes(np.array([np.inf]), bits=BITS_OF_WHOLE)[0])
_ALONE = int(bin_codes(np.array([128.0]), bits=BITS_OF_WHOLE)[0])
_CODE_OF_STATE = np.array([FIRST_VALUE, ZERO, 0, 1, 2, 3])
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Places = tuple[Ints, NDArray[np.uint8]]


@dataclass(frozen=True)
class Block:
    """Some rows of a feature that is counted row by row.

    Attributes
    ----------
    distance, square : of each finite number from the pivot; 0 where there is none
    low, high : each finite number; inf, and -inf, where there is none
    fine, coarse : register and rank of each value among those of the whole, and of a slice; rank 0 where there is none
    """

    distance: Floats | None
    square: Floats | None
    low: Floats | None
    high: Floats | None
    fine: Places
    coarse: Places


@dataclass(frozen=True)
class Values:
    """Codes of N cells.

    Attributes
    ----------
    codes : int64 (N,)
    bins : fine bin of codes 4, 5, ... (B,), for numbers
    texts : of the same codes, for text: None at 4 (unused), and None at the end for all texts that have no code
    single : the value of codes 4, 5, ..., where each has but one: whole numbers below 128, texts; then rows need be
        counted by code alone, and the rest follows from that
    numbers : float64 (N,) of what `single` does not say, with anything where there is no value
    hashes : uint64 (N,) of texts that `single` does not say
    """

    codes: Ints
    bins: Ints | None = None
    texts: Sequence[str | None] = ()
    single: Floats | Sequence[str | None] | None = None
    numbers: Floats | None = None
    hashes: NDArray[np.uint64] | None = None

    @property
    def size(self) -> int:
        """Number of codes."""
        return FIRST_VALUE + (len(self.bins) - 1 if self.bins is not None else max(len(self.texts) - 1, 1))

    @cached_property
    def fold(self) -> tuple[Ints, Ints] | None:
        """Code of each code among those of a slice, and the bins of these; None where they are the same."""
        if self.bins is None or self.single is not None:
            return None
        bins, at = np.unique(coarser(self.bins[1:], by=BITS_OF_WHOLE - BITS_OF_SLICE), return_inverse=True)
        return np.concatenate([np.arange(FIRST_VALUE), FIRST_VALUE + at]), np.concatenate([[0], bins])

    @cached_property
    def single_places(self) -> Mapping[int, Places]:
        """Registers and ranks of the values of codes 4, 5, ... among those of the whole and of a slice."""
        assert self.single is not None
        is_text = not isinstance(self.single, np.ndarray)
        hashes = hash_texts([v or "" for v in self.single]) if is_text else hash_numbers(np.asarray(self.single))
        return {bits: places(hashes, registers=bits) for bits in (REGISTERS_OF_WHOLE, REGISTERS_OF_SLICE)}

    @cached_property
    def pivot(self) -> float:
        """A number near the mean, from which squares do not cancel out."""
        if self.numbers is None:
            return 0.0
        some = slice(None, None, max(len(self.numbers) // 1000, 1))
        found = self.numbers[some][self.codes[some] >= ZERO]
        found = found[np.isfinite(found)]
        return float(found.mean()) if len(found) else 0.0

    @cached_property
    def has_infinite(self) -> bool:
        """Whether a number is infinite."""
        return self.bins is not None and bool((np.abs(self.bins) == _ENDLESS).any())

    def block(self, own: slice) -> Block:
        """What is made of some rows."""
        have = self.codes[own] >= ZERO
        if self.numbers is None:
            assert self.hashes is not None
            return Block(None, None, None, None, *_places(self.hashes[own], have))
        numbers = self.numbers[own]
        hashed = _places(hash_numbers(numbers), have)
        finite = have & np.isfinite(numbers) if self.has_infinite else have
        distance = np.where(finite, numbers, self.pivot)
        distance -= self.pivot
        with np.errstate(over="ignore"):
            square = distance * distance
        return Block(distance, square, np.where(finite, numbers, np.inf), np.where(finite, numbers, -np.inf), *hashed)


def blocks_of(rows: int) -> Iterator[slice]:
    """Rows 0 .. rows - 1, a bounded number at a time."""
    for start in range(0, rows, _ROWS_PER_BLOCK):
        yield slice(start, min(start + _ROWS_PER_BLOCK, rows))


def _places(hashes: NDArray[np.uint64], have: NDArray[np.bool_]) -> tuple[Places, Places]:
    found = []
    for registers in (REGISTERS_OF_WHOLE, REGISTERS_OF_SLICE):
        at, rank = places(hashes, registers=registers)
        rank *= have
        found.append((at, rank))
    return found[0], found[1]


def values_of(column: pa.Array, states: NDArray[np.uint8], feature: Feature) -> Values:
    """Codes of one column, whose cells have `states` (N,)."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    codes = _CODE_OF_STATE.take(states)
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return _numbers(column, states, codes)
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        return _texts(column, states, codes)
    return Values(codes)


def _numbers(column: pa.Array, states: NDArray[np.uint8], codes: Ints) -> Values:
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    bins, present = np.empty(len(codes), np.int32), np.zeros(2 * _ENDLESS + 1, bool)
    for own in blocks_of(len(codes)):
        found = bin_codes(np.where(states[own] == REAL, numbers[own], 0.0), bits=BITS_OF_WHOLE)
        found += _ENDLESS
        present[found] = True
        bins[own] = found
    known = np.flatnonzero(present)
    place = np.zeros(len(present), np.int64)
    place[known] = np.arange(len(known))
    for own in blocks_of(len(codes)):
        offset = place.take(bins[own])
        offset *= states[own] == REAL
        codes[own] += offset
    found = np.concatenate([[0], known - _ENDLESS])
    if pa.types.is_integer(column.type) and np.abs(found).max(initial=0) < _ALONE:
        return Values(codes, found, single=bin_low(found, bits=BITS_OF_WHOLE))
    return Values(codes, found, numbers=numbers)


def _texts(column: pa.Array, states: NDArray[np.uint8], codes: Ints) -> Values:
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = coded.dictionary.cast(pa.string()).to_pylist()
    indices = coded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    real = states == REAL
    counts = np.bincount(indices[real], minlength=len(texts))
    named = np.argsort(-counts, kind="stable")[:_MOST_TEXTS]
    place = np.full(max(len(texts), 1), len(named), dtype=np.int64)
    place[named] = np.arange(len(named))
    codes[real] += place[indices[real]]
    known = [None, *(texts[i] for i in named)]
    if len(named) == len(texts):
        return Values(codes, texts=[*known, None], single=known)
    return Values(codes, texts=[*known, None], hashes=hash_texts(texts)[indices])
