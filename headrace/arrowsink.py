"""Parquet files of Delta tables written inside Spark's Python tasks: one a day, with what the Delta log needs to know of each.

A task returns one row per file, and the driver commits them all at once (headrace.writing.write_files): files of a task
that failed or ran twice are never part of the table.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from headrace.delta import file_system

__all__ = ["WRITTEN_SCHEMA", "parquet_sink"]

Batches = Iterable[pa.RecordBatch]
_EPOCH = date(1970, 1, 1)

WRITTEN_SCHEMA = "path string, ds string, size bigint, stats string, sums string"
_WRITTEN = pa.schema(
    [(name, pa.int64() if name == "size" else pa.string()) for name in ("path", "ds", "size", "stats", "sums")]
)


_DAY_US = 86_400_000_000
_NEAR = 3  # days
_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 64 << 20


def parquet_sink(
    base: str, schema: pa.Schema, *, bounded: Sequence[str] = (), summed: Sequence[str] = (), told: Sequence[str] = ()
) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    """A last step that writes its rows below `base`, one file a day, and returns WRITTEN_SCHEMA rows instead.

    Least and greatest values of all timestamps go into the log. Rows whose timestamps `bounded` lie on another day than
    their own get files of their own, one for each of the three days around and one for all else, so that bounds are narrow
    and late rows are found by when they happened. Least and greatest of the texts `told` go into the log too; sums of the whole
    numbers or booleans `summed` come back with each file.

    Feature columns are numbers that seldom repeat: only text is dictionary-encoded. A null where `schema` allows none is
    an error (ValueError): Parquet itself would not notice.
    """
    if any(schema.field(name).nullable for name in bounded):
        raise ValueError(
            f"{base}: a column of {list(bounded)} may be null, which is on no day; this is a bug in headrace"
        )
    strings = [f.name for f in schema if pa.types.is_string(f.type)]
    inside = pa.schema([f for f in schema if f.name != "ds"])

    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        system, folder = file_system(base)
        open_files: dict[tuple[date, int], _DayFile] = {}
        try:
            for batch in batches:
                _check_nulls(batch, schema)
                for day, away, rows in _by_day(batch, bounded):
                    if (day, away) not in open_files:
                        facts = _Facts(inside, summed=summed, told=told)
                        open_files[day, away] = _DayFile(system, folder, day, inside, strings, facts)
                    open_files[day, away].write(rows.select(inside.names))
            written = [file.finish() for file in open_files.values()]
        except BaseException:
            for file in open_files.values():
                file.discard()
            raise
        if written:
            yield pa.RecordBatch.from_pylist(written, schema=_WRITTEN)

    return run


def _check_nulls(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    hollow = [f.name for f in schema if not f.nullable and batch.column(f.name).null_count]
    if hollow:
        raise ValueError(f"columns {hollow}: found null, wanted a value in every row; this is a bug in headrace")


def _by_day(batch: pa.RecordBatch, bounded: Sequence[str]) -> Iterator[tuple[date, int, pa.RecordBatch]]:
    """Rows of each day, apart by how many days their bounded columns lie from it."""
    days = batch.column("ds")
    distinct = days.unique().to_pylist()
    for day in distinct:
        rows = batch if len(distinct) == 1 else batch.filter(pc.equal(days, pa.scalar(day, pa.date32())))
        if not bounded:
            yield day, 0, rows
            continue
        place = np.zeros(rows.num_rows, dtype=np.int64)
        for name in bounded:
            away = np.asarray(rows.column(name).cast(pa.int64())) // _DAY_US - (day - _EPOCH).days
            place = place * (2 * _NEAR + 3) + np.clip(away, -_NEAR - 1, _NEAR + 1)
        places = np.unique(place)
        for one in places.tolist():
            yield day, one, rows if len(places) == 1 else rows.filter(pa.array(place == one))


def _millis(since_epoch: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since_epoch)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Facts:
    """What the Delta log and the driver are told of a file: rows, least and greatest, nulls, sums."""

    def __init__(self, schema: pa.Schema, *, summed: Sequence[str], told: Sequence[str]) -> None:
        self.rows = 0
        self.stamps = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        self.texts = list(told)
        self.nulls = dict.fromkeys([*self.stamps, *self.texts], 0)
        self.bounds: dict[str, tuple[Any, Any]] = {}
        self.sums = dict.fromkeys(summed, 0)

    def add(self, rows: pa.RecordBatch) -> None:
        self.rows += rows.num_rows
        for name in self.nulls:
            column = rows.column(name)
            self.nulls[name] += column.null_count
            column = column.cast(pa.int64()) if name in self.stamps else column
            if column.null_count < len(column):
                least, greatest = (v.as_py() for v in pc.min_max(column).values())
                low, high = self.bounds.get(name, (least, greatest))
                self.bounds[name] = min(low, least), max(high, greatest)
        for name in self.sums:
            self.sums[name] += pc.sum(rows.column(name)).as_py() or 0

    def stats(self) -> dict[str, object]:
        """As the Delta log writes them: timestamps in milliseconds, which must not cut off what they bound."""
        if not self.nulls:
            return {"numRecords": self.rows}
        low, high = dict[str, str](), dict[str, str]()
        for name, (least, greatest) in self.bounds.items():
            with suppress(OverflowError):  # beyond the year 9999 the log says nothing
                stamp = name in self.stamps
                low[name] = _millis(least // 1000) if stamp else least
                high[name] = _millis(-(-greatest // 1000)) if stamp else greatest
        return {"numRecords": self.rows, "minValues": low, "maxValues": high, "nullCount": self.nulls}


class _DayFile:
    """A Parquet file of one day while it is being written."""

    def __init__(
        self, system: fs.FileSystem, folder: str, day: date, schema: pa.Schema, strings: list[str], facts: _Facts
    ) -> None:
        self.system, self.day, self.facts = system, day, facts
        self.path = f"ds={day.isoformat()}/part-{uuid.uuid4()}.zstd.parquet"
        self.whole = f"{folder}/{self.path}"
        if isinstance(system, fs.LocalFileSystem):
            system.create_dir(self.whole.rpartition("/")[0], recursive=True)
        self.stream = system.open_output_stream(self.whole)
        self.writer = pq.ParquetWriter(self.stream, schema, compression="zstd", use_dictionary=strings or False)
        self.held: list[pa.RecordBatch] = []

    def write(self, rows: pa.RecordBatch) -> None:
        self.facts.add(rows)
        self.held.append(rows)
        if sum(b.num_rows for b in self.held) >= _GROUP_ROWS or sum(b.nbytes for b in self.held) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self.held:
            self.writer.write_table(pa.Table.from_batches(self.held), row_group_size=_GROUP_ROWS)
        self.held = []

    def finish(self) -> dict[str, object]:
        self._flush()
        self.writer.close()
        self.stream.close()
        size = self.system.get_file_info(self.whole).size
        told = {"stats": json.dumps(self.facts.stats()), "sums": json.dumps(self.facts.sums)}
        return {"path": self.path, "ds": self.day.isoformat(), "size": size, **told}

    def discard(self) -> None:
        for step in (self.writer.close, self.stream.close, lambda: self.system.delete_file(self.whole)):
            with suppress(OSError):  # a full disk must not keep the other files, nor hide the first error
                step()
