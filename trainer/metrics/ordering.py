"""Stable orders by several keys at once, and rows of the same group brought together.

numpy sorts the values of a uint64 array several times faster than it argsorts or lexsorts them. So a stable order is made
of sorts of values alone: the index of a row takes the low bits of a word, its key as many of the upper bits as are left,
and what does not fit into one word is done in several passes from the least significant bits up (a radix sort whose
digits are some 40 bits wide; Knuth, The Art of Computer Programming 3, 5.2.5).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "Keys",
    "float_keys",
    "grouped",
    "integer_keys",
    "run_starts",
    "stable_order",
    "sums_before",
    "to_rows",
]

Keys = npt.NDArray[np.uint64]
_SIGN = np.uint64(1 << 63)
_BLOCK_ROWS = 1 << 17  # what is done to so many rows stays in a core's cache


def float_keys(values: npt.NDArray[np.float64], *, descending: bool = False) -> Keys:
    """Unsigned words in the order of the numbers (no NaN): all bits of a negative one turned, else the sign bit alone.

    -0.0 and 0.0 are the same. Source: Terdiman, "Radix Sort Revisited", 2000.
    """
    bits = (values + 0.0).view(np.uint64)
    bits ^= (np.uint64(0) - (bits >> np.uint64(63))) | _SIGN
    return ~bits if descending else bits


def integer_keys(values: npt.NDArray[np.int64]) -> Keys:
    """Unsigned words in the order of the whole numbers."""
    return values.view(np.uint64) ^ _SIGN


def stable_order(*keys: Keys) -> npt.NDArray[np.int64]:
    """Indices that put rows in ascending order of the keys, the most significant first; rows that tie keep their order.

    Parameters
    ----------
    keys : (N,) uint64 each, at least one, N < 2**32
    """
    index_bits = max(len(keys[0]) - 1, 1).bit_length()
    index = np.arange(len(keys[0]), dtype=np.uint64)
    order: npt.NDArray[np.int64] | None = None
    for digit in _digits([_squeezed(key) for key in keys], 64 - index_bits):
        word = (digit if order is None else digit[order]) << np.uint64(index_bits)
        word |= index
        word.sort()
        word &= np.uint64((1 << index_bits) - 1)
        order = word.view(np.int64) if order is None else order[word.view(np.int64)]
    return index.view(np.int64) if order is None else order


def _squeezed(key: Keys) -> tuple[Keys, int]:
    """The key without what all rows share (their least value, low bits that are always 0), and how many bits are left."""
    if not len(key):
        return key, 0
    key = key - key.min()
    used = int(np.bitwise_or.reduce(key))
    low = (used & -used).bit_length() - 1 if used else 0
    return key >> np.uint64(low), (used >> low).bit_length()


def _digits(keys: Sequence[tuple[Keys, int]], width: int) -> Iterator[Keys]:
    """The keys side by side as one long number per row, cut into digits of `width` bits, the least significant first."""
    digit, filled = None, 0
    for key, bits in reversed(keys):
        done = 0
        while done < bits:
            take = min(width - filled, bits - done)
            part = (key >> np.uint64(done)) & np.uint64((1 << take) - 1)
            digit = part if digit is None else digit | (part << np.uint64(filled))
            done, filled = done + take, filled + take
            if filled == width:
                yield digit
                digit, filled = None, 0
    if digit is not None:
        yield digit


def run_starts(*columns: npt.NDArray) -> npt.NDArray[np.int64]:
    """Where, going down, any of the columns changes; row 0 starts the first run. Empty without rows."""
    changed = np.ones(len(columns[0]), dtype=bool)
    if len(changed):
        changed[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def to_rows(per_run: npt.NDArray, starts: npt.NDArray[np.int64], *, rows: int) -> npt.NDArray:
    """(rows,) each row's run's value, from the value of each run and where it starts."""
    return np.repeat(per_run, np.diff(np.append(starts, rows)))


def sums_before(values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n,) sum of the earlier values of the same run; exactly 0 for the first, and as long as they are 0."""
    before = np.zeros(len(values))
    np.cumsum(values[:-1], out=before[1:])
    before -= to_rows(before[starts], starts, rows=len(values))
    return before


def grouped(
    groups: npt.NDArray[np.int64], *columns: npt.NDArray[np.float64]
) -> Iterator[tuple[Keys, tuple[npt.NDArray[np.float64], ...]]]:
    """Rows of one group side by side, in blocks of whole groups.

    Yields
    ------
    codes : (n,) uint64, the group's number within the block, ascending from 0
    columns : (n,) each; rows of a group in the order in which they came
    """
    if not (groups[1:] >= groups[:-1]).all():
        order = stable_order(integer_keys(groups))
        groups, columns = groups[order], tuple(column[order] for column in columns)
    starts = run_starts(groups)
    edges = np.append(starts, len(groups))
    first = 0  # group
    while first < len(starts):
        past = max(int(np.searchsorted(edges, edges[first] + _BLOCK_ROWS, side="right")) - 1, first + 1)
        rows = slice(edges[first], edges[past])
        codes = to_rows(
            np.arange(past - first, dtype=np.uint64), edges[first:past] - rows.start, rows=rows.stop - rows.start
        )
        yield codes, tuple(column[rows] for column in columns)
        first = past
