"""Parquet files of Delta tables read inside Spark's Python tasks, without a detour through JVM rows.

Spark places the tasks, retries them and moves what they exchange; pyarrow reads the columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from headrace.delta import DeltaFile, file_system
from headrace.errors import InputError

__all__ = ["FileTasks", "file_tasks", "open_parts"]

Batches = Iterable[pa.RecordBatch]
_EPOCH = date(1970, 1, 1)
_ROWS_PER_TASK = 16_000_000
_BATCH_ROWS = 1 << 18


@dataclass(frozen=True)
class Piece:
    """A file, or one of `parts` parts of it by row groups, that a task has to read; `tag` tells what it holds."""

    tag: str
    uri: str
    ds_number: int
    part: int
    parts: int
    rows: int


@dataclass(frozen=True)
class FileTasks:
    """Work for mapInArrow: `frame` (id bigint) has one row a task, `pieces` says what each id reads (open_parts)."""

    frame: DataFrame
    pieces: list[list[Piece]]


def file_tasks(spark: SparkSession, files: Mapping[str, Sequence[DeltaFile]]) -> FileTasks:
    """Files spread so that every task reads about as many rows; no job runs for that.

    Parameters
    ----------
    files : tag, by which a task tells what a file holds -> files with whole URIs as paths (headrace.tables.files)

    Returns
    -------
    as many tasks as there are cores, or a multiple where that is too much for one task
    """
    total = sum(file.rows for listed in files.values() for file in listed)
    cores = spark.sparkContext.defaultParallelism
    tasks = cores * int(total // (_ROWS_PER_TASK * cores) + 1)
    pieces = [
        p for tag, listed in files.items() for file in listed for p in _pieces(tag, file, most=total // tasks + 1)
    ]
    loads: list[int] = [0] * tasks
    chosen: list[list[Piece]] = [[] for _ in range(tasks)]
    for piece in sorted(pieces, key=lambda p: (-p.rows, p.uri, p.part)):
        task = loads.index(min(loads))
        loads[task] += piece.rows
        chosen[task].append(piece)
    ordered = [sorted(own, key=lambda p: (p.tag, p.uri, p.part)) for own in chosen]
    return FileTasks(spark.range(0, tasks, 1, tasks), ordered)


def _pieces(tag: str, file: DeltaFile, *, most: int) -> list[Piece]:
    parts = max(-(-file.rows // most), 1)
    day = (file.ds - _EPOCH).days
    return [Piece(tag, file.path, day, part, parts, file.rows // parts) for part in range(parts)]


@dataclass(frozen=True)
class OpenPart:
    """The row groups of one file that this task reads."""

    tag: str
    file: pq.ParquetFile
    groups: list[int]
    ds_number: int

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Bounded pieces with the columns asked for, times in microseconds whatever unit the file has.

        Raises
        ------
        InputError
            The file lacks a column, which Arrow would pass over.
        """
        lacking = sorted(set(columns) - set(self.file.schema_arrow.names))
        if lacking:
            raise InputError(
                f"{self.tag}, day number {self.ds_number}",
                found=f"a file without {lacking}",
                wanted="files of one configuration",
                remedy="the configuration changed since: build these days' tiles again with headrace tiles --ds DAY --rebuild",
            )
        if self.groups:
            for batch in self.file.iter_batches(_BATCH_ROWS, row_groups=self.groups, columns=list(columns)):
                yield pa.table([_in_micros(c) for c in batch.columns], names=batch.schema.names)


def _in_micros(column: pa.Array) -> pa.Array:
    """Another writer of the table (a compaction, say) may have stored other units."""
    stamp = pa.timestamp("us", "UTC")
    return column.cast(stamp) if pa.types.is_timestamp(column.type) and column.type != stamp else column


def open_parts(
    batches: Batches, pieces: Sequence[Sequence[Piece]], *, dictionaries: Sequence[str] = ()
) -> Iterator[OpenPart]:
    """Open what `file_tasks` gave this task, tag by tag; `dictionaries` are text columns of few values."""
    for piece in (p for batch in batches for task in batch.column("id").to_pylist() for p in pieces[task]):
        system, path = file_system(piece.uri)
        with system.open_input_file(path) as source:
            footer = pq.read_metadata(source)
            coded = [name for name in dictionaries if name in footer.schema.names]
            file = pq.ParquetFile(source, metadata=footer, read_dictionary=coded)
            groups = list(range(piece.part, file.num_row_groups, piece.parts))
            yield OpenPart(piece.tag, file, groups, piece.ds_number)
