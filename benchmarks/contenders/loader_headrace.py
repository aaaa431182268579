"""Headrace's own loader (trainer.loader) on the same Parquet files: one tensor for the ids, one for numbers, one for labels.

core   no thread of its own: a window is read when it is asked for
ahead  one thread that reads ahead; on one core it can only fill gaps
"""

import importlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, WINDOW, one_core, read_all, rows_files, torch_of_one_thread
from benchmarks.trainworlds import DENSE, IDS, KEY, LABELS

__all__ = ["HOWS", "build", "loader_of"]

HOWS = ("core", "ahead")
_TENSORS = {"ids": (IDS, np.int64), "dense": (DENSE, np.float32), "labels": (LABELS, np.float32)}
_DAY = date(2026, 5, 1)  # the loader asks of a day only that pieces have one


def build(job: Job) -> dict[str, Any]:
    """Read all rows once, shuffled by row group and window."""
    one_core()
    torch_of_one_thread()
    importlib.import_module("trainer.loader")  # before the clock starts

    def batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        loader = loader_of(rows_files(job.world), columns=columns, workers=int(job.how == "ahead"))
        return (batch for _, batch in loader.epoch(0))

    return read_all(job, batches)


def loader_of(
    files: Sequence[Path], *, columns: Sequence[str], workers: int, seed: int = 1, window: int = WINDOW
) -> Any:
    """The loader of all row groups of some files; KEY comes along where it is one of the columns."""
    from trainer.loader import Loader
    from trainer.rows import Piece

    pieces = []
    for file in files:
        with pq.ParquetFile(file) as opened:
            sizes = [opened.metadata.row_group(n).num_rows for n in range(opened.num_row_groups)]
        pieces += [Piece(_DAY, str(file), n, rows) for n, rows in enumerate(sizes)]

    def read(piece: Piece) -> pa.Table:
        with pq.ParquetFile(piece.path) as opened:
            return opened.read_row_group(piece.row_group, columns=list(columns), use_threads=False)

    def convert(rows: pa.Table, piece: Piece) -> dict[str, npt.NDArray]:
        made = {
            name: _matrix(rows, [column for column in names if column in columns], dtype=dtype)
            for name, (names, dtype) in _TENSORS.items()
        }
        return {name: cells for name, cells in made.items() if cells.size} | (
            {KEY: rows[KEY].to_numpy()} if KEY in columns else {}
        )

    return Loader(
        pieces=pieces, read=read, convert=convert, batch_size=BATCH, window_rows=window, seed=seed, workers=workers
    )


def _matrix(rows: pa.Table, names: Sequence[str], *, dtype: type) -> npt.NDArray:
    """Columns side by side, (B, columns), copied once."""
    made = np.empty((rows.num_rows, len(names)), dtype)
    for place, name in enumerate(names):
        made[:, place] = rows[name].to_numpy()
    return made


if __name__ == "__main__":
    contend(build, hows=HOWS)
