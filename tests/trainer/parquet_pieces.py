"""Small Parquet files of numbered rows, read by the loader without a table around them."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from trainer.loader import Loader
from trainer.rows import Piece

__all__ = ["loader_of", "numbered_pieces", "rows_of"]

DAY = date(2024, 5, 1)


def numbered_pieces(folder: Path, sizes: Sequence[int], *, group_rows: int = 100) -> list[Piece]:
    """One file a size; the column `row` numbers all rows, `square` follows from it."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces, start = [], 0
    for k, size in enumerate(sizes):
        row = np.arange(start, start + size)
        table = pa.table({"row": row, "square": (row % 1000) ** 2.0})
        path = folder / f"{k}.parquet"
        pq.write_table(table, path, row_group_size=group_rows)
        footer = pq.read_metadata(path)
        pieces += [Piece(DAY, str(path), g, footer.row_group(g).num_rows) for g in range(footer.num_row_groups)]
        start += size
    return pieces


def _read(piece: Piece) -> pa.Table:
    with pq.ParquetFile(piece.path) as file:
        return file.read_row_group(piece.row_group)


def _convert(rows: pa.Table, piece: Piece) -> Mapping[str, npt.NDArray]:
    return {
        "row": rows["row"].to_numpy(),
        "wide": np.stack([rows["row"].to_numpy(), rows["square"].to_numpy()], axis=1),
    }


def loader_of(pieces: Sequence[Piece], *, workers: int = 0, batch_size: int = 16, window_rows: int = 160) -> Loader:
    """A loader of numbered rows; each batch has `row` (B,) and `wide` (B, 2)."""
    return Loader(pieces, _read, _convert, batch_size=batch_size, window_rows=window_rows, seed=7, workers=workers)


def rows_of(loader: Loader, epoch: int = 0, *, start: int = 0) -> list[list[int]]:
    """The numbers of the rows, batch by batch."""
    return [batch["row"].tolist() for _, batch in loader.epoch(epoch, start=start)]
