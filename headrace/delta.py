"""Small reads of Delta tables without Spark: the log through deltalake, the files through pyarrow.

deltalake's own pyarrow bridges can abort the interpreter at exit; explicit file lists do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import fs

from headrace.errors import ConfigError

__all__ = ["DeltaFile", "delta_files", "file_system", "files_of", "is_table", "open_dataset", "read_days"]

_MICROS = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class DeltaFile:
    """One data file of a table partitioned by ds, as the log describes it.

    Attributes
    ----------
    bounds : column -> (least, greatest) in microseconds, of the timestamps that the log knows; None where it knows none
    size : bytes
    """

    path: str
    ds: date
    rows: int
    bounds: dict[str, tuple[int, int]] | None = None
    size: int = 0


def file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """Arrow file system and path of a local path or URI."""
    if "://" not in uri:
        return fs.LocalFileSystem(), uri
    try:
        return fs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))
    except pa.ArrowInvalid as error:
        raise ConfigError(
            uri, found=str(error), wanted="a path, or s3a://, gs://, abfss://, hdfs://", remedy="see docs/deploy.md"
        ) from None


def is_table(uri: str) -> bool:
    """Whether a Delta table lies there."""
    return bool(DeltaTable.is_deltatable(uri))


def delta_files(uri: str, *, days: Sequence[date] | None = None, version: int | None = None) -> list[DeltaFile]:
    """Data files of the days asked (all without), at a version (the latest without), sorted by day and path."""
    return files_of(DeltaTable(uri, version=version), days=days)


def files_of(standing: DeltaTable, *, days: Sequence[date] | None = None) -> list[DeltaFile]:
    """`delta_files` of a table that is open, at the version that it holds."""
    actions = pa.table(standing.get_add_actions(flatten=True))
    if actions.num_rows == 0:
        return []
    wanted = None if days is None else set(days)
    columns = [actions.column(n).to_pylist() for n in ("path", "partition.ds", "num_records", "size_bytes")]
    rows = zip(*columns, _bounds(actions), strict=True)
    found = [DeltaFile(unquote(path), ds, number, bounds, size) for path, ds, number, size, bounds in rows]
    return sorted((f for f in found if wanted is None or f.ds in wanted), key=lambda f: (f.ds, f.path))


def _bounds(actions: pa.Table) -> list[dict[str, tuple[int, int]] | None]:
    """Least and greatest timestamps of every file; the log keeps milliseconds, so the greatest may be one more."""
    stamps = [f.name[4:] for f in actions.schema if f.name.startswith("min.") and pa.types.is_timestamp(f.type)]
    found: list[dict[str, tuple[int, int]]] = [{} for _ in range(actions.num_rows)]
    for name in stamps:
        low, high = (
            actions.column(f"{side}.{name}").cast(_MICROS).cast(pa.int64()).to_pylist() for side in ("min", "max")
        )
        for file, least, greatest in zip(found, low, high, strict=True):
            if least is not None and greatest is not None:
                file[name] = (least, greatest + 999)
    return [file or None for file in found]


def read_days(
    uri: str, *, days: Sequence[date] | None = None, columns: Sequence[str] | None = None, version: int | None = None
) -> pa.Table:
    """Rows of some days of a small table, with `ds`; for tables that fit the memory of a laptop many times over.

    Returns
    -------
    table with the columns asked for (all without) and ds; no columns at all where no file matches
    """
    system, base = file_system(uri)
    wanted = None if columns is None else [c for c in columns if c != "ds"]
    parts = []
    for file in delta_files(uri, days=days, version=version):
        with system.open_input_file(f"{base}/{file.path}") as source:
            part = pq.ParquetFile(source).read(columns=wanted, use_threads=False)
        part = part.drop_columns(["ds"]) if "ds" in part.column_names else part  # some writers store it, some do not
        parts.append(part.append_column("ds", pa.array([file.ds] * part.num_rows, pa.date32())))
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})


def open_dataset(uri: str, *, version: int | None = None) -> pads.Dataset:
    """A pyarrow dataset over the table's files, for filters and streaming; partitioned by ds."""
    system, base = file_system(uri)
    files = delta_files(uri, version=version)
    if not files:
        return pads.dataset(pa.schema(DeltaTable(uri, version=version).schema().to_arrow()).empty_table())
    by_day = pads.partitioning(pa.schema([("ds", pa.date32())]), flavor="hive")
    paths = [f"{base}/{file.path}" for file in files]
    return pads.dataset(paths, format="parquet", filesystem=system, partitioning=by_day, partition_base_dir=base)
