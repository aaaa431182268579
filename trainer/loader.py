"""Published rows as shuffled batches of tensors: fast, with memory bounded by windows, and resumable to the row.

Which rows a batch holds is decided by trainer.order alone; here they are read, made into arrays window by window by some
workers, and cut into batches in the order of the windows. Workers are threads (pyarrow and numpy let go of the
interpreter while they work), or processes where the loop itself needs the interpreter, as one that feeds a GPU does.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, multiprocessing

from trainer.order import Epoch, epoch_order, permutation_of, slices_of
from trainer.rows import Piece

__all__ = ["Arrays", "Loader", "Tensors"]

Arrays = Mapping[str, npt.NDArray]
Tensors = dict[str, Tensor]

_BLOCK = 8192  # rows that are made into arrays at a time: what is written stays in the cache


@dataclass(frozen=True)
class Loader:
    """Batches of the rows of some row groups.

    Attributes
    ----------
    pieces : row groups; their order must be the same in every process
    read : Piece -> Table
        One row group, only the columns that are needed.
    convert : (Table, Piece) -> arrays
        Some rows as arrays of equal length, one for each kind of number: name -> (B, ...). Called from several threads.
    batch_size, window_rows : int
        Rows. Held at most: (workers + 2) windows, and a row group for each worker.
    seed : int
    workers : int >= 0
        How many read ahead; 0 reads when a batch is asked for. Any number gives the same batches.
    processes : bool
        Workers are processes. They start once and stay until `close`; `read` and `convert` must be picklable.
    shard : (rank, ranks)
        Of a distributed run.
    device : torch device
        Where batches are to be; windows go there in one piece, from pinned memory where that is a GPU.
    """

    pieces: Sequence[Piece]
    read: Callable[[Piece], pa.Table]
    convert: Callable[[pa.Table, Piece], Arrays]
    batch_size: int
    window_rows: int
    seed: int = 0
    workers: int = 1
    processes: bool = False
    shard: tuple[int, int] = (0, 1)
    device: str = "cpu"
    _pools: list[ProcessPoolExecutor] = field(default_factory=list, compare=False, repr=False)

    def order(self, epoch: int) -> Epoch:
        """How the epoch is laid out: its rows, batches and windows."""
        return epoch_order(
            self.pieces,
            batch_size=self.batch_size,
            window_rows=self.window_rows,
            seed=self.seed,
            epoch=epoch,
            shard=self.shard,
        )

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[int, Tensors]]:
        """Batches `start`, `start + 1`, ... of an epoch, each with its number.

        A run that has done batch k goes on with `start = k + 1`, with any number of workers: the batches are those that
        it would have seen. All have `batch_size` rows but the last of the last rank.
        """
        order = self.order(epoch)
        window, skip = order.window_of(start)
        with closing(self._windows(order, window)) as windows:
            for rows, permuted in windows:
                for at in range(skip * self.batch_size, len(permuted), self.batch_size):
                    chosen = permuted[at : at + self.batch_size]
                    yield start, {name: cells.index_select(0, chosen) for name, cells in rows.items()}
                    start += 1
                skip = 0

    def close(self) -> None:
        """End the worker processes, if any run."""
        while self._pools:
            self._pools.pop().shutdown(wait=True, cancel_futures=True)

    def _windows(self, order: Epoch, first: int) -> Generator[tuple[Tensors, Tensor], None, None]:
        """Windows from `first` on, in order, made ahead by the workers."""
        make = _Remote(self._pool(), self.device, order) if self.processes and self.workers else _Local(self, order)
        if not self.workers:
            yield from map(make, range(first, order.windows))
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="headrace-loader")
        ahead: deque[Future[tuple[Tensors, Tensor]]] = deque()
        try:
            for window in range(first, order.windows):
                ahead.append(pool.submit(make, window))
                if len(ahead) > self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> ProcessPoolExecutor:
        if not self._pools:
            alone = replace(self, workers=0, processes=False, _pools=[])
            context = multiprocessing.get_context("spawn")
            self._pools.append(ProcessPoolExecutor(self.workers, context, initializer=_begin, initargs=(alone,)))
        return self._pools[0]


class _Local:
    """Makes windows; each thread keeps the row group that it read last, since the next window may begin in it."""

    def __init__(self, loader: Loader, order: Epoch) -> None:
        self.loader, self.order = loader, order
        self.kept = threading.local()

    def __call__(self, window: int) -> tuple[Tensors, Tensor]:
        return _placed(self.rows(window), self.order, window, device=self.loader.device)

    def rows(self, window: int) -> Tensors:
        """A window's rows in the order of the line, on the CPU."""
        begin, end = self.order.bounds(window)
        whole: dict[str, npt.NDArray] = {}
        done = 0
        for part in slices_of(self.order, window):
            table = self._table(part.piece)
            for at in range(part.begin, part.end, _BLOCK):
                block = table.slice(at, min(_BLOCK, part.end - at))
                done = _lay(whole, self.loader.convert(block, part.piece), at=done, rows=end - begin)
        return {name: torch.from_numpy(cells) for name, cells in whole.items()}

    def _table(self, piece: Piece) -> pa.Table:
        if getattr(self.kept, "piece", None) != piece:
            self.kept.table = None  # let go of the last before the next is read
            self.kept.piece, self.kept.table = piece, self.loader.read(piece)
        return self.kept.table


@dataclass(frozen=True)
class _Remote:
    """Has windows made by worker processes, and brings them to the device."""

    pool: ProcessPoolExecutor
    device: str
    order: Epoch

    def __call__(self, window: int) -> tuple[Tensors, Tensor]:
        rows = self.pool.submit(_shared_rows, self.order.key[1], window).result()
        return _placed(rows, self.order, window, device=self.device)


_at_work: dict[str, _Local] = {}  # of a worker process: the loader, and the epoch that it last worked on


def _begin(loader: Loader) -> None:
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    _at_work["now"] = _Local(loader, loader.order(0))


def _shared_rows(epoch: int, window: int) -> Tensors:
    """A window's rows in memory that both processes see."""
    now = _at_work["now"]
    if now.order.key[1] != epoch:
        now = _at_work["now"] = _Local(now.loader, now.loader.order(epoch))
    return {name: cells.share_memory_() for name, cells in now.rows(window).items()}


def _placed(rows: Tensors, order: Epoch, window: int, *, device: str) -> tuple[Tensors, Tensor]:
    """A window on the device, and the order of its rows there."""
    permuted = torch.from_numpy(permutation_of(order, window))
    if torch.device(device).type == "cpu":
        return rows, permuted
    there = {name: cells.pin_memory().to(device, non_blocking=True) for name, cells in rows.items()}
    return there, permuted.pin_memory().to(device, non_blocking=True)


def _lay(whole: dict[str, npt.NDArray], block: Arrays, *, at: int, rows: int) -> int:
    """Copy a block into the window's arrays, which its first block makes; returns where the next begins."""
    for name, cells in block.items():
        if name not in whole:
            whole[name] = np.empty((rows, *cells.shape[1:]), dtype=cells.dtype)
        whole[name][at : at + len(cells)] = cells
    return at + len(cells)
