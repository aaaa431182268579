"""Different values of a column and how often each was met, within bounded memory: for vocabularies and quantiles."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import InputError

__all__ = ["DISTINCT_LIMIT", "NumberTally", "Tally", "WholeTally", "WordTally", "quantile_edges"]

DISTINCT_LIMIT = 1 << 20  # different values of one column; some 32 MB while they are merged
_FLUSH = 1 << 16  # values that wait for being merged, at least


class WholeTally:
    """Whole numbers with their counts.

    Parameters
    ----------
    name : str
        Column, for the message.
    limit : int
        Most different values.
    """

    def __init__(self, name: str, *, limit: int = DISTINCT_LIMIT) -> None:
        self.name, self.limit = name, limit
        self._values: npt.NDArray = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)
        self._waiting: list[npt.NDArray] = []
        self._rows = 0

    def add(self, values: npt.NDArray) -> None:
        """Take in (B,) values. Raises InputError, now or later, above the limit."""
        self._waiting.append(np.array(values, dtype=self._values.dtype))
        self._rows += len(values)
        if self._rows >= max(_FLUSH, len(self._values)):  # so each value is merged a bounded number of times on average
            self._merge()

    def counted(self) -> tuple[npt.NDArray, npt.NDArray[np.int64]]:
        """Different values, rising, and their counts."""
        self._merge()
        return self._values, self._counts

    def ranked(self, min_count: int) -> tuple[int, ...]:
        """Values met at least so often, the most frequent first, equally frequent ones by value."""
        values, counts = self.counted()
        order = np.lexsort((values, -counts))
        return tuple(values[order][counts[order] >= min_count].tolist())

    def _merge(self) -> None:
        fresh = np.sort(np.concatenate([self._values[:0], *self._waiting]))
        self._waiting, self._rows = [], 0
        values = np.concatenate([self._values, fresh])
        counts = np.concatenate([self._counts, np.ones(len(fresh), dtype=np.int64)])
        order = np.argsort(values, kind="stable")  # two sorted runs: merged in linear time
        self._values, self._counts = self._collapsed(values[order], counts[order])
        if len(self._values) > self.limit:
            self._overflow()

    def _collapsed(
        self, values: npt.NDArray, counts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray, npt.NDArray[np.int64]]:
        """Equal neighbours as one."""
        cells = self._cells(values)
        starts = np.flatnonzero(np.concatenate([np.ones(len(cells[:1]), dtype=bool), cells[1:] != cells[:-1]]))
        return values[starts], np.add.reduceat(counts, starts) if len(starts) else counts

    def _cells(self, values: npt.NDArray) -> npt.NDArray:
        return values

    def _overflow(self) -> None:
        raise _too_many(self.name, self.limit)


class NumberTally(WholeTally):
    """Finite numbers with their counts; above the limit, neighbours are counted together.

    Doubles that are alike but for the last `shift` of their 64 bits are one cell, told by the smallest value met in it.
    `shift` is the smallest number of bits at which the cells of all values together are within the limit, so that neither
    the order of the rows nor how they are cut into batches changes the result. Of 2^20 cells none is ever wider than
    1 / 256 of its values, whatever the values are.
    """

    def __init__(self, name: str, *, limit: int = DISTINCT_LIMIT) -> None:
        super().__init__(name, limit=limit)
        self._values = np.empty(0, dtype=np.float64)
        self.shift = 0

    def add(self, values: npt.NDArray) -> None:
        """Take in (B,) finite values; -0.0 is 0.0."""
        super().add(values + 0.0)

    @property
    def error(self) -> float:
        """The value told for a cell is at most this share of itself below any other of the cell; 0: all are kept."""
        return 2.0 ** (self.shift - 52) if self.shift else 0.0

    def _cells(self, values: npt.NDArray) -> npt.NDArray:
        return values.view(np.int64) >> self.shift

    def _overflow(self) -> None:
        while len(self._values) > self.limit:
            self.shift += 1
            self._values, self._counts = self._collapsed(self._values, self._counts)


class WordTally:
    """Words with their counts; parameters as for WholeTally."""

    def __init__(self, name: str, *, limit: int = DISTINCT_LIMIT) -> None:
        self.name, self.limit = name, limit
        self._counts: Counter[str] = Counter()

    def add(self, cells: pa.Array) -> None:
        """Take in words; null is left out. Raises InputError above the limit."""
        met = pc.value_counts(cells.cast(pa.string()).drop_null())
        self._counts.update(dict(zip(met.field("values").to_pylist(), met.field("counts").to_pylist(), strict=True)))
        if len(self._counts) > self.limit:
            raise _too_many(self.name, self.limit)

    def ranked(self, min_count: int) -> tuple[str, ...]:
        """Words met at least so often, the most frequent first, equally frequent ones by value."""
        kept = [(-count, word) for word, count in self._counts.items() if count >= min_count]
        return tuple(word for _, word in sorted(kept))


Tally = WholeTally | WordTally


def _too_many(name: str, limit: int) -> InputError:
    return InputError(
        f"training days: {name}",
        found=f"more than {limit:,} different values",
        wanted="fewer for a vocabulary",
        remedy=f"encode it by hash: {{features: [{name}], as: hash}}",
    )


def quantile_edges(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, buckets: int
) -> npt.NDArray[np.float64]:
    """The different ones of the k / buckets quantiles, k = 1 .. buckets - 1.

    They equal `np.quantile(x, np.arange(1, buckets) / buckets, method="inverted_cdf")` of the values repeated by their
    counts: the smallest value that at least that share of the rows does not exceed (definition 1 of Hyndman and Fan,
    "Sample Quantiles in Statistical Packages", 1996), hence a value that was met.
    """
    if not len(values):
        return values
    ends = np.cumsum(counts)
    at = ends[-1] * (np.arange(1, buckets) / buckets) - 1  # as numpy computes it, so that rounding is the same
    ranks = np.maximum(np.ceil(at), 0)
    return np.unique(values[np.searchsorted(ends, ranks, side="right")])
