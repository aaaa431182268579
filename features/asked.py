"""What the cells of one group draw on, and the way from distinct queries back to rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.axis import Ints
from features.statistics import Bools, Statistics
from headrace.config import Cell
from headrace.durations import Window

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """The statistics that a group's cells draw on.

    Attributes
    ----------
    own : of key (x segment); whole: of the key over all its segments, for shares; everyone: of all keys, for priors
    known : bool (N,), rows whose key is known
    """

    windows: dict[Window, int]
    own: Statistics
    whole: Statistics | None
    everyone: Statistics | None
    known: Bools

    def rows(self, values: NDArray[np.generic], *, valid: Bools | None = None) -> pa.Array:
        """From distinct queries to rows; unknown keys and invalid values become null."""
        back = self.own.back
        return pa.array(values[back], mask=~(self.known if valid is None else self.known & valid[back]))

    def lists(self, queries: Ints, values: pa.Array) -> pa.Array:
        """One list a row from entries of ascending queries; null where there is no entry."""
        offsets = np.searchsorted(queries, np.arange(len(self.own.queries.as_of) + 1)).astype(np.int32)
        made = pa.ListArray.from_arrays(pa.array(offsets), values)
        absent = ~self.known | (np.diff(offsets) == 0)[self.own.back]
        return made.take(pa.array(self.own.back, mask=absent))

    def number(self, cell: Cell) -> int:
        """The cell's window, as a number."""
        assert cell.window is not None
        return self.windows[cell.window]
