"""Rows of `training_set` at a pinned Delta version: row groups as the unit that is shuffled, batches as the unit read.

deltalake names the files of the version; pyarrow reads them, so no more than one batch of a row group is in memory.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headrace.delta import delta_files, file_system
from headrace.errors import InputError

__all__ = ["Piece", "day_columns", "day_pieces", "read_piece", "read_whole", "split_pieces"]

SPLIT = "split"
Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


@dataclass(frozen=True)
class Piece:
    """One row group of one file of a day, or its rows of one split. `path` is relative to the table, `rows` is at least 1."""

    ds: date
    path: str
    row_group: int
    rows: int
    split: str | None = None


def day_columns(root: str, *, ds: date, version: int) -> set[str]:
    """Column names of `training_set` at `version`. Raises InputError where the version is gone."""
    return {field.name for field in _table(root, ds=ds, version=version).schema().fields}


def _table(root: str, *, ds: date, version: int) -> DeltaTable:
    try:
        return DeltaTable(f"{root}/training_set", version=version)
    except DeltaError as error:
        raise _unreadable(f"{root}/training_set {ds} at version {version}", str(error)) from None


def day_pieces(root: str, *, ds: date, version: int) -> list[Piece]:
    """Row groups of a day with at least one row, in the order of the paths; only the files' footers are read.

    Raises
    ------
    InputError
        The version or a file is gone, or rows are deleted by deletion vectors.
    """
    where = f"{root}/training_set {ds} at version {version}"
    table = _table(root, ds=ds, version=version)
    try:
        paths = [file.path for file in delta_files(f"{root}/training_set", days=[ds], version=version)]
    except (DeltaError, KeyError) as error:  # KeyError: not partitioned by ds
        raise _unreadable(where, str(error)) from None
    _refuse_rewritten(table, paths, where=where)
    system, base = file_system(f"{root}/training_set")
    pieces = []
    for path in paths:
        try:
            with system.open_input_file(f"{base}/{path}") as source:
                footer = pq.read_metadata(source)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(where, f"{path}: {error}") from None
        sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        pieces += [Piece(ds, path, i, rows) for i, rows in enumerate(sizes) if rows]
    return pieces


def read_piece(root: str, piece: Piece, *, columns: Sequence[str], batch_rows: int = 16384) -> Iterator[pa.RecordBatch]:
    """Rows of one row group, `batch_rows` at most in a batch; InputError where the file or a column is missing."""
    with _opened(root, piece, columns=columns) as file:
        read = _with_split(columns, piece)
        for batch in file.iter_batches(batch_rows, row_groups=[piece.row_group], columns=read):
            kept = _of_split(batch, piece)
            if kept.num_rows:
                yield kept.select(list(columns))


def read_whole(root: str, piece: Piece, *, columns: Sequence[str]) -> pa.Table:
    """One row group with the named columns, each in one chunk; InputError where the file or a column is missing."""
    with _opened(root, piece, columns=columns) as file:
        table = file.read_row_group(piece.row_group, columns=_with_split(columns, piece), use_threads=False)
    return _of_split(table, piece).select(list(columns)).combine_chunks()


def split_pieces(root: str, pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    """The pieces' rows by split, in the order of the pieces; empty where no row stands in any (docs/semantics.md, S40).

    Reads one column. A day without it, or with nothing in it, stands in no split.
    """
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        counts: Counter[str] = Counter()
        with _opened(root, piece, columns=()) as file:
            if SPLIT in file.schema_arrow.names:
                cells = file.read_row_group(piece.row_group, columns=[SPLIT], use_threads=False)[SPLIT]
                counts.update(
                    {str(pair["values"]): pair["counts"] for pair in cells.drop_null().value_counts().to_pylist()}
                )
        for split, rows in counts.items():
            found.setdefault(split, []).append(replace(piece, rows=rows, split=split))
    return found


def _with_split(columns: Sequence[str], piece: Piece) -> list[str]:
    return [*columns] if piece.split is None else [*dict.fromkeys([*columns, SPLIT])]


def _of_split(rows: Rows, piece: Piece) -> Rows:
    return rows if piece.split is None else rows.filter(pc.equal(rows[SPLIT], piece.split))


@contextmanager
def _opened(root: str, piece: Piece, *, columns: Sequence[str]) -> Iterator[pq.ParquetFile]:
    """The piece's file, once it is known to have the columns; what goes wrong while it is read is an InputError."""
    system, base = file_system(f"{root}/training_set")
    where = f"{root}/training_set {piece.ds}: {piece.path}"
    try:
        with (
            system.open_input_file(f"{base}/{piece.path}") as source,
            pq.ParquetFile(source, pre_buffer=False) as file,
        ):
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise InputError(
                    where,
                    found=f"no column {', '.join(missing[:5])}",
                    wanted="the columns that the receipt declares",
                    remedy="build the day again: headrace run --ds DAY --rebuild",
                )
            yield file
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(where, str(error)) from None


def _unreadable(where: str, found: str) -> InputError:
    return InputError(
        where,
        found=" ".join(found.split())[:300],
        wanted="the files that the receipt's version names",
        remedy="if they were vacuumed, build the day again: headrace run --ds DAY --rebuild",
    )


def _refuse_rewritten(table: DeltaTable, paths: list[str], *, where: str) -> None:
    """Parquet is read as it lies, so rows deleted beside the file, or renamed columns, must not pass unseen."""
    features = set(table.protocol().reader_features or [])
    found = ""
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        found = "column mapping"
    if "deletionVectors" in features:
        marked = [str(uri) for uri in pa.table(table.deletion_vectors())["filepath"].to_pylist()]
        if any(unquote(uri).endswith(path) for uri in marked for path in paths):
            found = "rows deleted by deletion vectors"
    if found:
        raise InputError(
            where,
            found=found,
            wanted="plain Parquet files, as headrace writes them",
            remedy="rewrite the table without it (REORG ... APPLY (PURGE)), or build the day again",
        )
