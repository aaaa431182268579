"""In which order the rows of an epoch are read: a pure function of the pieces, the seed and the epoch.

Row groups are permuted over all days and laid end to end. That line of rows is cut into windows of whole batches, and the
rows of each window are permuted among themselves. So any window, and any batch, can be made without those before it:
by any number of workers, after a crash, or on another machine, the k-th batch is the same rows in the same order.
Ranks of a distributed run take equal stretches of batches of the same line: they differ by one batch at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.rows import Piece

__all__ = ["Epoch", "Slice", "epoch_order", "permutation_of", "slices_of"]

_GROUPS, _ROWS = 0, 1  # the two streams of random numbers


@dataclass(frozen=True)
class Slice:
    """Rows [begin, end) of one row group."""

    piece: Piece
    begin: int
    end: int


@dataclass(frozen=True)
class Epoch:
    """The rows of one epoch and rank, laid end to end.

    Attributes
    ----------
    pieces : tuple of Piece
        All row groups in the epoch's order.
    starts : (P + 1,) int64
        Where each begins on the line; the last is the number of rows.
    first, last : int
        The rank's batches [first, last) of the whole line's.
    batch_size, window : int
        Rows; a window is a whole number of batches.
    key : (int, int)
        Seed, not negative, and epoch.
    """

    pieces: tuple[Piece, ...]
    starts: npt.NDArray[np.int64]
    first: int
    last: int
    batch_size: int
    window: int
    key: tuple[int, int]

    @property
    def batches(self) -> int:
        """Batches of this rank."""
        return self.last - self.first

    @property
    def rows(self) -> int:
        """Rows of this rank."""
        return self.end - self.first * self.batch_size

    @property
    def end(self) -> int:
        """Where the rank's rows end on the line."""
        return min(self.last * self.batch_size, int(self.starts[-1]))

    def window_of(self, batch: int) -> tuple[int, int]:
        """(window, batch within it) of the rank's batch."""
        return divmod(batch, self.window // self.batch_size)

    @property
    def windows(self) -> int:
        """Windows of this rank."""
        return -(-self.rows // self.window)

    def bounds(self, window: int) -> tuple[int, int]:
        """Where a window's rows begin and end on the line."""
        begin = self.first * self.batch_size + window * self.window
        return begin, min(begin + self.window, self.end)


def epoch_order(
    pieces: Sequence[Piece],
    *,
    batch_size: int,
    window_rows: int,
    seed: int,
    epoch: int,
    shard: tuple[int, int] = (0, 1),
) -> Epoch:
    """Lay out an epoch.

    Parameters
    ----------
    pieces : row groups, in an order that is the same in every process
    batch_size, window_rows : int
        Rows; a window is cut down to whole batches, and is one batch at least.
    seed : int
    epoch : int >= 0
    shard : (rank, ranks)

    Raises
    ------
    ValueError
        The shard is not one, or there are no rows.
    """
    rank, ranks = shard
    if not 0 <= rank < ranks:
        raise ValueError(f"shard: found {shard}, wanted (rank, ranks) with 0 <= rank < ranks")
    if not pieces:
        raise ValueError("pieces: found none, wanted at least one row group")
    key = (seed % 2**63, epoch)
    order = _generator(key, _GROUPS, 0).permutation(len(pieces))
    chosen = tuple(pieces[i] for i in order)
    starts = np.cumsum([0, *(piece.rows for piece in chosen)])
    batches = -(-int(starts[-1]) // batch_size)
    first, last = rank * batches // ranks, (rank + 1) * batches // ranks
    window = max(window_rows // batch_size, 1) * batch_size
    return Epoch(chosen, starts, first, last, batch_size, window, key)


def slices_of(epoch: Epoch, window: int) -> list[Slice]:
    """What a window reads, in the order of the line."""
    begin, end = epoch.bounds(window)
    found, at = [], begin
    place = int(np.searchsorted(epoch.starts, begin, side="right")) - 1
    while at < end:
        start, stop = int(epoch.starts[place]), int(epoch.starts[place + 1])
        found.append(Slice(epoch.pieces[place], at - start, min(end, stop) - start))
        at, place = stop, place + 1
    return found


def permutation_of(epoch: Epoch, window: int) -> npt.NDArray[np.int64]:
    """Order of the window's rows; keyed by where the window lies on the line, so that ranks do not repeat each other's."""
    begin, end = epoch.bounds(window)
    return _generator(epoch.key, _ROWS, begin).permutation(end - begin)


def _generator(key: tuple[int, int], stream: int, place: int) -> np.random.Generator:
    return np.random.default_rng([*key, stream, place])
