"""One feature of a chunk of rows as codes to count: four states without a value, measured zeros, then bins or texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.states import REAL, TRUE_ZERO
from headrace.config import Feature
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, bin_codes, bin_low, coarser
from reports.distinct import REGISTERS_OF_SLICE, REGISTERS_OF_WHOLE, hash_numbers, hash_texts, places

__all__ = ["FIRST_VALUE", "ZERO", "Values", "values_of"]

ZERO, FIRST_VALUE = 4, 5
"""Codes 0 to 3 are the states default_filled, null, stale, no_entity."""

_MOST_TEXTS = 1000  # texts told apart in a chunk, by weight; the others are counted as values without a name
_ALONE = int(bin_codes(np.array([128.0]), bits=BITS_OF_WHOLE)[0])
_CODE_OF_STATE = np.array([FIRST_VALUE, ZERO, 0, 1, 2, 3])
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Values:
    """Codes of N cells.

    Attributes
    ----------
    codes : int64 (N,)
    bins : fine bin of codes 4, 5, ... (B,), for numbers
    texts : of the same codes, for text: None at 4 (unused), and None at the end for all texts that have no code
    numbers : float64 (N,), NaN where there is no finite value; None for text and lists
    hashes : uint64 (N,) of the values, anything where there is none; None for lists and where `single` says it all
    single : the value of codes 4, 5, ..., where each has but one: whole numbers up to 128, texts; then rows need be
        counted by code alone, and the rest follows from that
    """

    codes: Ints
    bins: Ints | None = None
    texts: Sequence[str | None] = ()
    numbers: NDArray[np.float64] | None = None
    hashes: NDArray[np.uint64] | None = None
    single: NDArray[np.float64] | Sequence[str | None] | None = None

    @property
    def size(self) -> int:
        """Number of codes."""
        return FIRST_VALUE + (len(self.bins) - 1 if self.bins is not None else max(len(self.texts) - 1, 1))

    @cached_property
    def coarse(self) -> tuple[Ints, Ints | None]:
        """Codes with the bins of a slice, and these bins."""
        if self.bins is None or self.single is not None:
            return self.codes, self.bins
        bins, at = np.unique(coarser(self.bins[1:], by=BITS_OF_WHOLE - BITS_OF_SLICE), return_inverse=True)
        fold = np.concatenate([np.arange(FIRST_VALUE), FIRST_VALUE + at])
        return fold.take(self.codes), np.concatenate([[0], bins])

    @cached_property
    def fine_places(self) -> tuple[Ints, NDArray[np.uint8]]:
        """Register and rank of each cell among those of the whole; rank 0 where there is no value."""
        return self._places(REGISTERS_OF_WHOLE)

    @cached_property
    def coarse_places(self) -> tuple[Ints, NDArray[np.uint8]]:
        """Among those of a slice."""
        return self._places(REGISTERS_OF_SLICE)

    def _places(self, registers: int) -> tuple[Ints, NDArray[np.uint8]]:
        assert self.hashes is not None
        at, rank = places(self.hashes, registers=registers)
        rank *= self.codes >= ZERO
        return at, rank

    @cached_property
    def single_places(self) -> Mapping[int, tuple[Ints, NDArray[np.uint8]]]:
        """Registers and ranks of the values of codes 4, 5, ... among those of the whole and of a slice."""
        assert self.single is not None
        is_text = not isinstance(self.single, np.ndarray)
        hashes = hash_texts([v or "" for v in self.single]) if is_text else hash_numbers(np.asarray(self.single))
        return {bits: places(hashes, registers=bits) for bits in (REGISTERS_OF_WHOLE, REGISTERS_OF_SLICE)}

    @cached_property
    def pivot(self) -> float:
        """A number near the mean, from which squares do not cancel out."""
        some = np.empty(0) if self.numbers is None else self.numbers[:: max(len(self.numbers) // 1000, 1)]
        some = some[~np.isnan(some)]
        return float(some.mean()) if len(some) else 0.0

    @cached_property
    def distances(self) -> tuple[NDArray[np.float64], ...] | None:
        """Distance of each finite number (N,) from the pivot and its square, 0 where there is none; then the numbers with
        inf, and with -inf, where there is none. None for text and lists."""
        if self.numbers is None:
            return None
        away, absent = self.numbers - self.pivot, np.isnan(self.numbers)
        np.copyto(away, 0.0, where=absent)
        low, high = np.where(absent, np.inf, self.numbers), np.where(absent, -np.inf, self.numbers)
        with np.errstate(over="ignore"):
            return away, away * away, low, high


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
    given = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    real = states == REAL
    bins = bin_codes(np.where(real, given, 0.0), bits=BITS_OF_WHOLE)
    least, most = bins.min(initial=0), bins.max(initial=0)
    bins -= least
    present = np.zeros(most - least + 1, bool)
    present[bins] = True
    offset = (np.cumsum(present) - 1).take(bins)
    offset *= real
    codes += offset
    found = np.concatenate([[0], np.flatnonzero(present) + least])
    if pa.types.is_integer(column.type) and least >= -_ALONE and most <= _ALONE:
        return Values(codes, found, single=bin_low(found, bits=BITS_OF_WHOLE))
    numbers = np.where(states <= TRUE_ZERO, given, np.nan)
    hashes = hash_numbers(numbers)
    if max(most, -least) >= bin_codes(np.array([np.inf]), bits=BITS_OF_WHOLE)[0]:
        numbers[np.isinf(numbers)] = np.nan
    return Values(codes, found, numbers=numbers, hashes=hashes)


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
