"""What published days hold, and their rows as a stream: what a consumer may read and where it is.

A day is published iff the highest revision of its `publish` receipt that has an end says so; it is then read at the Delta version
that the receipt names, whatever has been written since. One row of the stream is one row of `training_set`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from headrace.errors import InputError
from headrace.published import Pinned, pinned_days
from trainer.rows import day_pieces, read_piece

__all__ = ["FeatureSpec", "PublishedDay", "find_days", "open_day", "published_days"]


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
        `salt`, `negative_rate`, `positive_rate`, and declared strata.
    manifest : str
        Hash of the day's manifest (docs/days.md); empty on days published before there were any.
    """

    ds: date
    version: int
    content_hash: str
    features: tuple[FeatureSpec, ...]
    labels: dict
    sampling: dict
    manifest: str = ""


def published_days(root: str) -> list[PublishedDay]:
    """Every published day under `root`, oldest first.

    Raises
    ------
    InputError
        There is no receipts table, or a published receipt lacks what the trainer needs.
    """
    return [_published(pinned) for pinned in pinned_days(root).values()]


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
            remedy="name published days, or build and publish these first: headrace run --ds DAY",
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
    pieces = day_pieces(root, ds=day.ds, version=day.version)
    order = range(len(pieces)) if rng is None else rng.permutation(len(pieces))
    for index in order:
        yield from read_piece(root, pieces[index], columns=columns, batch_rows=batch_rows)


def _published(pinned: Pinned) -> PublishedDay:
    notes = pinned.notes
    try:
        features = tuple(FeatureSpec(**feature) for feature in json.loads(notes["features"]))
        labels, sampling = json.loads(notes["labels"]), json.loads(notes["sampling"])
        version, content = pinned.versions["training_set"], pinned.outputs["training_set"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"publish receipt of {pinned.ds}, revision {pinned.revision}",
            found=f"{type(error).__name__}: {error}",
            wanted="versions and outputs of training_set, and the notes features, labels, sampling",
            remedy="publish the day again: headrace run --ds DAY --rebuild",
        ) from None
    return PublishedDay(pinned.ds, version, content, features, labels, sampling, notes.get("manifest", ""))
