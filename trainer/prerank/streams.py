"""Rows of published days or of a table as one stream that can be read again, in the same order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError
from trainer.checkpoint import Checkpoint
from trainer.columns import column
from trainer.evaluate import check_schema
from trainer.fitting import training_pieces
from trainer.inputs import orders_of
from trainer.published import find_days
from trainer.rows import day_columns, read_piece
from trainer.scoretables import open_rows, with_states

__all__ = ["Rows", "Stream", "item_ids", "moments", "picked", "published_stream", "refuse_missing", "table_stream"]

_MOMENTS = ("request_ts", "event_ts", "ds")  # the first that there is says when features were read
_BATCH = 16384
READ_AHEAD = {"batch_readahead": 1, "fragment_readahead": 1}
_FIRST = np.iinfo(np.int64).min


class Rows(NamedTuple):
    """Some rows, what the bytes of their `feature_states` are of, and their published day where they have one."""

    rows: pa.Table
    state_order: list[str]
    ds: date | None


@dataclass(frozen=True)
class Stream:
    """Rows that can be read more than once.

    Attributes
    ----------
    name : str
        For messages.
    present : names
        Columns that there are; `feature_states` is made up where it is not among them.
    rows : int
    read : callable (columns) -> iterator of Rows
    empty : no rows, with all columns and their types; not of published days
    """

    name: str
    present: frozenset[str]
    rows: int
    read: Callable[[Sequence[str]], Iterator[Rows]]
    empty: pa.Table | None = None

    @property
    def moment(self) -> str | None:
        """The column that says when features were read."""
        return next((name for name in _MOMENTS if name in self.present), None)


def published_stream(root: str, days: Sequence[date], *, checkpoints: Sequence[Checkpoint]) -> Stream:
    """Rows of published days at their pinned versions.

    Raises
    ------
    InputError
        A day is not published or empty, or its features are no longer those of a checkpoint.
    """
    chosen = find_days(root, list(dict.fromkeys(days)))
    for day in chosen:
        for checkpoint in checkpoints:
            check_schema(checkpoint, day, root=root)
    pieces, orders = training_pieces(root, chosen), orders_of(chosen)
    present = set.intersection(*(day_columns(root, ds=day.ds, version=day.version) for day in chosen))

    def read(columns: Sequence[str]) -> Iterator[Rows]:
        kept = [name for name in columns if name != "ds"]  # the day is in the folder's name, not in the file
        for piece in pieces:
            for batch in read_piece(root, piece, columns=kept, batch_rows=_BATCH):
                yield Rows(pa.Table.from_batches([batch]), orders[piece.ds], piece.ds)

    total = sum(piece.rows for piece in pieces)
    return Stream(f"{root}/training_set", frozenset(present - {"ds"}), total, read)


def table_stream(source: str, *, checkpoint: Checkpoint) -> Stream:
    """Rows of a Delta table, a Parquet file, or a folder of Parquet files; raises InputError where it is none."""
    data = open_rows(source)
    there = frozenset(data.schema.names)

    def read(columns: Sequence[str]) -> Iterator[Rows]:
        scanner = data.scanner(
            columns=[c for c in columns if c in there], batch_size=_BATCH, use_threads=False, **READ_AHEAD
        )
        for batch in scanner.to_batches():
            rows = pa.Table.from_batches([batch])
            yield Rows(*(with_states(checkpoint, rows) if "feature_states" in columns else (rows, [])), None)

    return Stream(source, there, data.count_rows(), read, data.schema.empty_table())


def refuse_missing(stream: Stream, columns: Sequence[str], *, wanted: str) -> None:
    """Raise InputError where a column is not there; `feature_states` may be missing."""
    missing = [name for name in dict.fromkeys(columns) if name not in stream.present and name != "feature_states"]
    if missing:
        more = f" ({len(missing) - 5} more)" if len(missing) > 5 else ""
        raise InputError(
            stream.name,
            found=f"no column {', '.join(missing[:5])}{more}",
            wanted=wanted,
            remedy="build the rows with the configuration of the training days",
        )


def item_ids(rows: pa.Table, *, name: str) -> npt.NDArray[np.int64]:
    """(B,) from the column item_id; raises InputError where it is null or no whole number."""
    cells = column(rows, "item_id")
    if not pa.types.is_integer(cells.type) or cells.null_count:
        found = f"{cells.null_count} nulls" if cells.null_count else f"a column of {cells.type}"
        wanted, remedy = "a whole number in every row", "text ids are hashed at ingest; take the rows from there"
        raise InputError(f"{name}: item_id", found=found, wanted=wanted, remedy=remedy)
    return cells.cast(pa.int64()).to_numpy()


def moments(rows: pa.Table, name: str | None) -> npt.NDArray[np.int64]:
    """When the features of rows were read, (B,), in a unit of its own; null comes first. 0 without such a column."""
    if name is None or name not in rows.column_names:
        return np.zeros(rows.num_rows, dtype=np.int64)
    cells = column(rows, name)
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.timestamp("us", cells.type.tz), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(cells.type):
        cells = cells.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    return cells.cast(pa.int64()).fill_null(_FIRST).to_numpy()


def picked(stream: Stream, places: npt.NDArray[np.int64], *, columns: Sequence[str]) -> Iterator[Rows]:
    """The rows at increasing places of a stream, batch by batch; batches without any are left out."""
    start = 0
    for batch in stream.read(columns):
        low, high = np.searchsorted(places, [start, start + batch.rows.num_rows])
        if high > low:
            yield batch._replace(rows=batch.rows.take(pa.array(places[low:high] - start)))
        start += batch.rows.num_rows
