"""Hashes of whole numbers and words that are the same on every machine and run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Hashed", "hash_words", "hash_numbers"]

_BLOCK = 4096  # rows: what is worked on stays in the cache


class Hashed(NamedTuple):
    """A column to be hashed: `values` (B,) of any whole-number type, `missing` (B,) bool or None, the first row `offset`
    of its part of the table, and its `place` among the columns of the output.
    """

    values: npt.NDArray
    missing: npt.NDArray[np.bool_] | None
    offset: int
    place: int


def hash_numbers(columns: Sequence[Hashed], *, buckets: int, out: npt.NDArray[np.int64]) -> None:
    """Write offset + 1 + SplitMix64(value) mod (buckets - 1) into the columns' places of (B, F); offset where missing.

    Several columns at a time, since on few rows calling numpy costs more than what it computes.
    """
    for start in range(0, len(out), _BLOCK):
        rows = slice(start, start + _BLOCK)
        x = np.empty((len(columns), len(out[rows])), dtype=np.uint64)  # (K, b)
        for k, column in enumerate(columns):
            x[k] = column.values[rows]
        spare = np.empty_like(x)
        _mix(x, spare=spare)
        np.floor_divide(x, np.uint64(buckets - 1), out=spare)  # by a constant: half the cost of numpy's remainder
        spare *= np.uint64(buckets - 1)
        x -= spare
        for signed, column in zip(x.view(np.int64), columns, strict=True):
            if column.missing is not None:
                signed |= -column.missing[rows].astype(np.int8)  # -1 where missing, without a branch for each cell
            np.add(signed, column.offset + 1, out=out[rows, column.place])


def _mix(x: npt.NDArray[np.uint64], *, spare: npt.NDArray[np.uint64]) -> None:
    """SplitMix64 of each number, in place (Steele, Lea and Flood, OOPSLA 2014)."""
    x += np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it should
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(x, np.uint64(shift), out=spare)
        x ^= spare
        x *= np.uint64(factor)
    np.right_shift(x, np.uint64(31), out=spare)
    x ^= spare


def hash_words(words: Sequence[str], *, buckets: int) -> npt.NDArray[np.int64]:
    """Rows 1 .. buckets - 1 of words: SipHash, as `pandas.util.hash_array` with its fixed key."""
    if not len(words):
        return np.empty(0, dtype=np.int64)
    hashes = pd.util.hash_array(np.asarray(words, dtype=object), categorize=False)
    return (hashes % np.uint64(buckets - 1)).astype(np.int64) + 1
