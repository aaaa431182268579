"""What consumers may read: the published days, each at the Delta version that its receipt pins.

A day is published iff the highest revision of its `publish` receipt that has an end says so. What is written of the day later, whole or
half, stays unseen until it is published itself. One row of either reader is one row of `training_set`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headrace.delta import DeltaFile, delta_files, file_system, read_days
from headrace.errors import InputError
from headrace.receipts import LOST, STARTED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Pinned", "pinned_days", "pinned_files", "read_published", "spark_published"]

_AGE_LIMIT = "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration"
_UNREADABLE = (DeltaError, OSError, KeyError, ValueError, OverflowError, pa.ArrowException)


@dataclass(frozen=True)
class Pinned:
    """What the receipt of a published day says: table -> Delta version, table -> content hash, and its notes."""

    ds: date
    revision: int
    versions: dict[str, int]
    outputs: dict[str, str]
    notes: dict[str, str]


def pinned_days(root: str | Path) -> dict[date, Pinned]:
    """Every published day under `root`, oldest first.

    Raises
    ------
    InputError
        There are no receipts to read, or one of a published day does not pin `training_set`.
    """
    best: dict[date, dict] = {}
    for row in _publish_rows(root):
        standing = best.get(row["ds"])
        if standing is None or row["revision"] > standing["revision"]:
            best[row["ds"]] = row
    return {ds: _pinned(row) for ds, row in sorted(best.items()) if row["status"] == "published"}


def pinned_files(
    root: str | Path, name: str, *, days: Sequence[date] | None = None, version: int | None = None
) -> list[DeltaFile]:
    """`delta_files` of a table under `root`; InputError where the log does not say what the version holds."""
    try:
        files = delta_files(f"{root}/{name}", days=days, version=version)
    except _UNREADABLE as error:
        raise _unreadable(f"{root}/{name}", version, str(error)) from None
    away = [file.path for file in files if file.path.startswith("/") or "://" in file.path]
    if away:  # as clones have them
        raise _unreadable(f"{root}/{name}", version, f"{away[0]}: not a path within the table")
    return files


def read_published(
    root: str | Path, *, days: Sequence[date] | None = None, columns: Sequence[str] | None = None
) -> pads.Dataset:
    """Rows of published days as a pyarrow dataset over the files of each day's version; no row is read yet.

    Parameters
    ----------
    root : str or Path
        Path or URI of the tables.
    days : dates, optional
        All published days without.
    columns : names, optional
        What the dataset has beside `ds`; all columns without. A filter can only use what it has.

    Returns
    -------
    dataset; a column that only some of the versions have is null in the days of the others

    Raises
    ------
    InputError
        A day is not published, a version or file is gone, a column is in no version, or rows are deleted by
        deletion vectors.
    """
    uri = f"{root}/training_set"
    schemas, paths = list[pa.Schema](), list[str]()
    for version, chosen in _days_by_version(root, days).items():
        files = [file.path for file in pinned_files(root, "training_set", days=chosen, version=version)]
        schemas.append(_plain_schema(uri, version, paths=files))
        paths += files
    return _dataset(uri, paths, _some(_together(schemas), columns, where=uri))


def spark_published(spark: "SparkSession", root: str | Path, *, days: Sequence[date] | None = None) -> "DataFrame":
    """The rows and columns of `read_published` as a frame; days of one version are one read.

    Raises
    ------
    InputError
        A day is not published, or Spark cannot read its version.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F

    uri, frames = f"{root}/training_set", []
    for version, chosen in _days_by_version(root, days).items():
        try:
            with _of_any_age(spark):
                rows = spark.read.format("delta").option("versionAsOf", version).load(uri)
        except PySparkException as error:
            raise _unreadable(uri, version, str(error)) from None
        frames.append(rows.where(F.col("ds").isin(chosen)))
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


@contextmanager
def _of_any_age(spark: "SparkSession") -> Iterator[None]:
    """Within, Delta opens versions older than delta.deletedFileRetentionDuration (a week) too: their files are kept."""
    before = spark.conf.get(_AGE_LIMIT, None)
    spark.conf.set(_AGE_LIMIT, "false")
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(_AGE_LIMIT)
        else:
            spark.conf.set(_AGE_LIMIT, before)


def _publish_rows(root: str | Path) -> list[dict]:
    columns = ["job", "revision", "status", "versions", "outputs", "notes"]
    try:
        receipts = read_days(f"{root}/receipts", columns=columns)
    except _UNREADABLE as error:
        raise InputError(
            f"{root}/receipts",
            found=" ".join(str(error).split())[:200],
            wanted="the receipts of a built root",
            remedy="check the root, or build days first: headrace run --ds DAY",
        ) from None
    # One that is on its way, was killed or lost to another decided nothing: what was published before it is read.
    rows = [row for row in receipts.to_pylist(maps_as_pydicts="strict") if row["job"] == "publish"]
    return [row for row in rows if row["status"] not in (STARTED, LOST)]


def _pinned(row: dict) -> Pinned:
    try:
        versions = {name: int(version) for name, version in row["versions"].items()}
        versions["training_set"]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"publish receipt of {row['ds']}, revision {row['revision']}",
            found=f"{type(error).__name__}: {error}",
            wanted="Delta versions, with one of training_set",
            remedy="publish the day again: headrace run --ds DAY --rebuild",
        ) from None
    return Pinned(row["ds"], row["revision"], versions, row["outputs"], row["notes"])


def _days_by_version(root: str | Path, days: Sequence[date] | None) -> dict[int, list[date]]:
    known = pinned_days(root)
    wanted = list(known) if days is None else list(days)
    missing = [d for d in wanted if d not in known]
    if missing or not wanted:
        raise InputError(
            f"days of {root}/training_set",
            found=f"{', '.join(map(str, missing)) or 'no day'}: not published",
            wanted=f"published days: {', '.join(map(str, known)) or 'there are none'}",
            remedy="name published days, or build and publish these first: headrace run --ds DAY",
        )
    found: dict[int, list[date]] = {}
    for day in sorted(set(wanted)):
        found.setdefault(known[day].versions["training_set"], []).append(day)
    return found


def _plain_schema(uri: str, version: int, *, paths: Sequence[str]) -> pa.Schema:
    """Columns at a version. Parquet is read as it lies: rows deleted beside it, or renamed columns, must not pass."""
    table = DeltaTable(uri, version=version)
    odd = "column mapping" if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none" else ""
    if "deletionVectors" in (table.protocol().reader_features or []):
        marked = [unquote(str(file)) for file in pa.table(table.deletion_vectors())["filepath"].to_pylist()]
        odd = "rows deleted by deletion vectors" if any(f.endswith(p) for f in marked for p in paths) else odd
    if odd:
        raise _unreadable(uri, version, odd)
    return pa.schema(table.schema().to_arrow())


def _together(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """All columns by name, as the first schema that has them; nullable where one lacks them."""
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    fields = []
    for name in names:
        own = [schema.field(name) for schema in schemas if name in schema.names]
        fields.append(own[0].with_nullable(len(own) < len(schemas) or any(f.nullable for f in own)))
    return pa.schema(fields)


def _dataset(uri: str, paths: Sequence[str], schema: pa.Schema) -> pads.Dataset:
    if not paths:
        return pads.dataset(schema.empty_table())
    system, base = file_system(uri)
    by_day = pads.partitioning(pa.schema([("ds", pa.date32())]), flavor="hive")
    whole = [f"{base}/{path}" for path in paths]
    try:
        return pads.dataset(
            whole, schema=schema, format="parquet", filesystem=system, partitioning=by_day, partition_base_dir=base
        )
    except OSError as error:
        raise _unreadable(uri, None, str(error)) from None


def _some(schema: pa.Schema, columns: Sequence[str] | None, *, where: str) -> pa.Schema:
    if columns is None:
        return schema
    missing = [c for c in columns if c not in schema.names]
    if missing:
        raise InputError(
            where,
            found=f"no column {', '.join(missing[:5])}",
            wanted=f"some of {', '.join(schema.names)}",
            remedy="name columns of the training set, or leave columns out",
        )
    return pa.schema([schema.field(name) for name in dict.fromkeys([*columns, "ds"])])


def _unreadable(uri: str, version: int | None, found: str) -> InputError:
    return InputError(
        uri if version is None else f"{uri} at version {version}",
        found=" ".join(found.split())[:300],
        wanted="the log and the plain Parquet files of what the receipts pin",
        remedy="if they were cleaned away, build and publish the day again: headrace run --ds DAY --rebuild",
    )
