"""What published days hold, and their rows as a stream: the only module of the trainer that reads tables.

A day is published iff the highest revision of its `publish` receipt says so; it is then read at the Delta version
that the receipt names, whatever has been written since. One row of the stream is one row of `training_set`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

from headrace.errors import InputError

__all__ = ["FeatureSpec", "Piece", "PublishedDay", "day_pieces", "find_days", "open_day", "published_days", "read_piece"]


@dataclass(frozen=True)
class FeatureSpec:
    """A feature column as the receipt declares it; `type` is a Spark SQL type, `unit` that of its numbers."""

    name: str
    type: str
    unit: str
    source: str
    default: float | str | None = None


@dataclass(frozen=True)
class PublishedDay:
    """A published day: what may be read, at which version, and what its columns mean.

    Attributes
    ----------
    ds : date
    version : int
        Delta version of `training_set`.
    content_hash : str
        Of the day's rows, from the receipt.
    features : tuple of FeatureSpec
        In the order of the bytes of `feature_states`.
    labels : dict
        `positive` (list of actions), `implies` (action -> action), `actions` (list).
    sampling : dict
        `salt`, `negative_rate`, `positive_rate`.
    """

    ds: date
    version: int
    content_hash: str
    features: tuple[FeatureSpec, ...]
    labels: dict
    sampling: dict


@dataclass(frozen=True)
class Piece:
    """One row group of one file of a day; the unit that is shuffled and read."""

    day: PublishedDay
    path: str
    row_group: int
    rows: int


def published_days(root: str) -> list[PublishedDay]:
    """Every published day under `root`, oldest first.

    Raises
    ------
    InputError
        There is no receipts table, or a published receipt lacks what the trainer needs.
    """
    best: dict[date, dict] = {}
    for row in _publish_rows(str(root)):
        if row["ds"] not in best or row["revision"] > best[row["ds"]]["revision"]:
            best[row["ds"]] = row
    return [_published(row) for ds, row in sorted(best.items()) if row["status"] == "published"]


def find_days(root: str, days: Sequence[date]) -> list[PublishedDay]:
    """The named days, in that order.

    Raises
    ------
    InputError
        One of them is not published; the message names those that are.
    """
    known = {day.ds: day for day in published_days(root)}
    missing = [d for d in days if d not in known]
    if missing or not days:
        raise InputError(
            f"days of {root}/training_set",
            found=f"{', '.join(map(str, missing)) or 'no day named'}: not published",
            wanted=f"published days: {', '.join(map(str, known)) or 'there are none'}",
            remedy="name published days, or build and publish these first: headrace run",
        )
    return [known[d] for d in days]


def open_day(
    root: str,
    day: PublishedDay,
    *,
    columns: Sequence[str],
    rng: np.random.Generator | None = None,
    batch_rows: int = 16384,
) -> Iterator[pa.RecordBatch]:
    """Rows of one day at its pinned version, a bounded number at a time.

    Parameters
    ----------
    root : str
        Path or URI of the tables.
    columns : names
        Only these are read from the files.
    rng : numpy Generator, optional
        Shuffles the order of files and row groups; without it the order is that of the log.
    batch_rows : int
        Most rows in memory at once (per batch).

    Raises
    ------
    InputError
        The version or a file is gone, rows are deleted by deletion vectors, or a column is missing.
    """
    pieces = day_pieces(root, day)
    order = range(len(pieces)) if rng is None else rng.permutation(len(pieces))
    for index in order:
        yield from read_piece(root, pieces[index], columns=columns, batch_rows=batch_rows)


def day_pieces(root: str, day: PublishedDay) -> list[Piece]:
    """Row groups of a day with at least one row, in the order of the paths, read from the files' footers only."""
    where = f"{root}/training_set {day.ds} at version {day.version}"
    try:
        table = DeltaTable(f"{root}/training_set", version=day.version)
        actions = pa.table(table.get_add_actions(flatten=True))
    except DeltaError as error:
        raise _unreadable(where, " ".join(str(error).split())[:300]) from None
    paths = sorted(
        unquote(path)
        for path, ds in zip(actions["path"].to_pylist(), actions["partition.ds"].to_pylist(), strict=True)
        if str(ds) == str(day.ds)
    )
    _refuse_rewritten(table, paths, where)
    system, base = _filesystem(root)
    pieces = []
    for path in paths:
        try:
            with system.open_input_file(f"{base}/training_set/{path}") as source:
                footer = pq.read_metadata(source)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(where, f"{path}: {error}") from None
        sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        pieces += [Piece(day, path, i, rows) for i, rows in enumerate(sizes) if rows]
    return pieces


def read_piece(
    root: str, piece: Piece, *, columns: Sequence[str], batch_rows: int = 16384
) -> Iterator[pa.RecordBatch]:
    """Rows of one row group, `batch_rows` at most in a batch."""
    system, base = _filesystem(root)
    where = f"{root}/training_set {piece.day.ds}: {piece.path}"
    try:
        with pq.ParquetFile(system.open_input_file(f"{base}/training_set/{piece.path}"), pre_buffer=False) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise InputError(
                    where, found=f"no column {', '.join(missing[:5])}", wanted="the columns that the receipt declares",
                    remedy="build the day again: headrace run --rebuild",
                )
            yield from file.iter_batches(batch_rows, row_groups=[piece.row_group], columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(where, str(error)) from None


def _filesystem(root: str) -> tuple[fs.FileSystem, str]:
    """A path or a URI as pyarrow sees it."""
    if "://" in str(root):
        return fs.FileSystem.from_uri(str(root))
    return fs.LocalFileSystem(), str(root)


def _unreadable(where: str, found: str) -> InputError:
    return InputError(
        where, found=found, wanted="the files that the receipt's version names",
        remedy="if they were vacuumed, build the day again: headrace run --rebuild",
    )


def _refuse_rewritten(table: DeltaTable, paths: list[str], where: str) -> None:
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
            where, found=found, wanted="plain Parquet files, as headrace writes them",
            remedy="rewrite the table without it (REORG ... APPLY (PURGE)), or build the day again",
        )


def _publish_rows(root: str) -> list[dict]:
    try:
        receipts = DeltaTable(f"{root}/receipts").to_pyarrow_dataset()
    except (DeltaError, OSError) as error:
        raise InputError(
            f"{root}/receipts", found=" ".join(str(error).split())[:200], wanted="the receipts of a built root",
            remedy="check --config and its root, or build days first: headrace run",
        ) from None
    columns = ["job", "ds", "revision", "status", "versions", "outputs", "notes"]
    rows = receipts.to_table(columns=columns).to_pylist(maps_as_pydicts="strict")
    return [row for row in rows if row["job"] == "publish"]


def _published(row: dict) -> PublishedDay:
    try:
        notes = row["notes"]
        features = tuple(FeatureSpec(**feature) for feature in json.loads(notes["features"]))
        labels, sampling = json.loads(notes["labels"]), json.loads(notes["sampling"])
        version, content = int(row["versions"]["training_set"]), row["outputs"]["training_set"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"publish receipt of {row['ds']}, revision {row['revision']}", found=f"{type(error).__name__}: {error}",
            wanted="versions and outputs of training_set, and the notes features, labels, sampling",
            remedy="publish the day again: headrace run --rebuild",
        ) from None
    return PublishedDay(row["ds"], version, content, features, labels, sampling)
