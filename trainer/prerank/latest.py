"""Of each key the row that stands last by some numbers, over rows that come in batches."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Latest"]

_PENDING = 1 << 18  # rows that are gathered before they are compared, at least


class Latest:
    """Rows of a stream, one for each key: that with the greatest order, and of equal ones the last that came.

    Holds up to three numbers and the order of each key, and as many rows again.

    Parameters
    ----------
    orders : int
        How many numbers the order is made of, the first decides.
    most : int, optional
        Keep only the keys whose order is greatest.
    """

    def __init__(self, *, orders: int, most: int | None = None) -> None:
        self._orders, self._most, self._rows = orders, most, 0
        self._kept: list[npt.NDArray] = []
        self._batches: list[list[npt.NDArray]] = []
        self._pending = 0

    @property
    def rows(self) -> int:
        """Rows that came."""
        return self._rows

    def add(self, keys: npt.NDArray, *order: npt.NDArray) -> None:
        """Rows of a batch: keys (B,) and their order, (B,) each."""
        if len(order) != self._orders:
            raise ValueError(f"{len(order)} numbers of order, wanted {self._orders}")
        places = np.arange(self._rows, self._rows + len(keys))
        self._batches.append([keys, *order, places])
        self._rows += len(keys)
        self._pending += len(keys)
        if self._pending > max(_PENDING, len(self._kept[0]) if self._kept else 0):
            self._compare()

    def finish(self) -> tuple[npt.NDArray, npt.NDArray[np.int64]]:
        """Keys, each once, and the places of their rows in the stream, (I,) each, in the order of the places."""
        self._compare()
        if not self._kept:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        keys, places = self._kept[0], self._kept[-1]
        order = np.argsort(places)
        return keys[order], places[order]

    def _compare(self) -> None:
        parts = ([self._kept] if self._kept else []) + self._batches
        if not parts:
            return
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        by = np.lexsort([columns[-1], *reversed(columns[1:-1]), columns[0]])  # key, order, place
        keys = columns[0][by]
        chosen = by[np.append(keys[1:] != keys[:-1], True)] if len(by) else by
        if self._most is not None and len(chosen) > self._most:
            chosen = chosen[_greatest([column[chosen] for column in columns[1:]], self._most)]
        self._kept = [column[chosen] for column in columns]
        self._batches, self._pending = [], 0


def _greatest(order: Sequence[npt.NDArray], most: int) -> npt.NDArray[np.int64]:
    return np.lexsort(list(reversed(order)))[-most:]
