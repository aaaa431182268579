"""Rows of published days as a network takes them: which columns are read, and how they become arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.config.training import TrainConfig
from trainer.columns import column, floats, integers
from trainer.encode import Encoder, encode
from trainer.loader import Loader
from trainer.published import PublishedDay
from trainer.rows import Piece, read_piece, read_whole
from trainer.tasks import Plan, label_matrix, labels_of

__all__ = ["Inputs", "Rows", "orders_of", "request_keys", "training_loader"]

# Arrays of one length B: ids (B, F) int64, dense (B, N) float32, labels (B, T) float32 with NaN where a label does not
# apply, weight (B,) float64, and columns carried along by their own name.
Rows = dict[str, npt.NDArray]


@dataclass(frozen=True)
class Inputs:
    """How rows of some days become arrays.

    Attributes
    ----------
    root : str
    orders : dict of date to names
        Each day's features, in the order of the bytes of `feature_states`.
    encoder, plan
        From fitting or from a checkpoint.
    keys : names
        Whole-number columns to carry along as (B,) int64; `request_id` needs `impression_id` beside it.
    numbers : names
        Number columns to carry along as (B,) float64, NaN for null.
    words : names
        Columns of any type to carry along as text, (B,) object with None for null.
    """

    root: str
    orders: Mapping[date, Sequence[str]]
    encoder: Encoder
    plan: Plan
    keys: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Columns to read."""
        extra = (*self.keys, *self.numbers, *self.words)
        return [*dict.fromkeys([*self.encoder.columns, *labels_of(self.plan), "sample_weight", *extra])]

    def read(self, piece: Piece) -> pa.Table:
        """One row group."""
        return read_whole(self.root, piece, columns=self.columns)

    def convert(self, rows: pa.RecordBatch | pa.Table, piece: Piece) -> Rows:
        """Some rows of a piece as arrays."""
        ids, dense = encode(self.encoder, rows, state_order=self.orders[piece.ds])
        weight = floats(column(rows, "sample_weight"), name="sample_weight")
        made: Rows = {"ids": ids, "dense": dense, "labels": label_matrix(rows, self.plan), "weight": weight}
        made |= {name: integers(rows, name) for name in self.keys}
        if "request_id" in made:
            made["request_id"] = request_keys(rows)
        made |= {name: floats(column(rows, name), name=name) for name in self.numbers}
        return made | {name: _text(column(rows, name)) for name in self.words}

    def stream(self, pieces: Sequence[Piece], *, batch_rows: int = 16384) -> Iterator[tuple[Piece, Rows]]:
        """The pieces in the given order, batch by batch."""
        for piece in pieces:
            for batch in read_piece(self.root, piece, columns=self.columns, batch_rows=batch_rows):
                yield piece, self.convert(batch, piece)


def orders_of(days: Sequence[PublishedDay]) -> dict[date, list[str]]:
    """Each day's features, in the order of the bytes of `feature_states`."""
    return {day.ds: [feature.name for feature in day.features] for day in days}


def training_loader(
    inputs: Inputs, pieces: Sequence[Piece], *, config: TrainConfig, device: str, shard: tuple[int, int] = (0, 1)
) -> Loader:
    """Shuffled batches of the pieces, as the configuration says."""
    return Loader(
        pieces=pieces,
        read=inputs.read,
        convert=inputs.convert,
        batch_size=config.batch_size,
        window_rows=config.window_rows,
        seed=config.seed,
        workers=config.workers,
        processes=config.worker_kind == "process" or (config.worker_kind == "auto" and device == "cuda"),
        shard=shard,
        device=device,
    )


def request_keys(rows: pa.RecordBatch | pa.Table) -> npt.NDArray[np.int64]:
    """Request of each row, (B,); one without a request is a request of its own."""
    own = column(rows, "impression_id").cast(pa.int64())
    return pc.coalesce(column(rows, "request_id").cast(pa.int64()), own).to_numpy(zero_copy_only=False)


def _text(cells: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Each distinct text is one object that its rows share."""
    coded = cells.cast(pa.string()).dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    words = np.asarray([*coded.dictionary.to_pylist(), None], dtype=object)
    return words[coded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
