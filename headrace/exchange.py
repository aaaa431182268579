"""Moves Arrow tables between tasks: one Spark row carries one packed record batch.

A row that crosses a shuffle as a JVM row is turned from Arrow and back column by column. Here a map task sorts its rows
by target partition and sends each partition's slice as one binary cell, so the JVM moves bytes and never looks inside.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

__all__ = [
    "PACKED_SCHEMA",
    "Hot",
    "exchange",
    "gathered",
    "narrowed",
    "one_array",
    "pack",
    "pack_to",
    "packer",
    "partition_of",
    "unpack",
]

Hot = Mapping[int, int]
PACKED_SCHEMA = "pid int, tag string, blob binary"
_FLUSH_BYTES = 32 << 20
_BLOB_BYTES = 4 << 20  # the JVM holds several copies of a cell on its way
_ARROW_SCHEMA = pa.schema([("pid", pa.int32()), ("tag", pa.string()), ("blob", pa.binary())])


def partition_of(keys: pa.Array, *, partitions: int) -> NDArray[np.int64]:
    """Target partition of each int64 key; null keys belong nowhere and are spread.

    Finaliser of splitmix64 (Steele, Lea, Flood 2014), so that consecutive ids do not share a partition.
    """
    spread = pa.array(np.arange(len(keys), dtype=np.int64))
    values = pc.coalesce(keys, spread).to_numpy(zero_copy_only=False).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values = values ^ (values >> np.uint64(31))
    return (values % np.uint64(partitions)).astype(np.int64)


def pack(
    table: pa.Table, *, key: str | None, tag: str, partitions: int, hot: Hot | None = None, copies: bool = False
) -> Iterator[pa.RecordBatch]:
    """Slices of `table`, one per target partition, as rows of PACKED_SCHEMA; without a key every partition gets all.

    Parameters
    ----------
    hot : key -> number of partitions among which its rows are dealt out
    copies : give each of these partitions all rows of the hot key instead: what the dealt rows meet there
    """
    if table.num_rows and key is None:
        blob = _to_bytes(table)
        yield _rows(list(range(partitions)), tag, [blob] * partitions)
    elif table.num_rows:
        keys = one_array(table.column(key))
        target = partition_of(keys, partitions=partitions)
        if hot:
            rows, place = _dealt(keys, hot, copies=copies)
            table = table.take(pa.array(rows)) if copies else table
            target = (target[rows] + place) % partitions
        yield from pack_to(table, target=target, tag=tag, partitions=partitions)


def _dealt(keys: pa.Array, hot: Hot, *, copies: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows, and for each the place among its key's partitions; with `copies` a row of a hot key stands once for each."""
    at = pc.index_in(keys, pa.array(list(hot), keys.type))
    place = np.asarray(pc.fill_null(at, -1), dtype=np.int64)
    shares = np.append(np.fromiter(hot.values(), np.int64, len(hot)), 1)[place]
    if not copies:
        return np.arange(len(keys)), np.arange(len(keys)) % shares
    rows = np.repeat(np.arange(len(keys)), shares)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(shares) - shares, shares)


def pack_to(table: pa.Table, *, target: NDArray[np.int64], tag: str, partitions: int) -> Iterator[pa.RecordBatch]:
    """Slices of `table` by the partition that `target` (N,) gives each row, none much larger than a few MB."""
    order = np.argsort(target.astype(np.int16 if partitions < 1 << 15 else np.int32), kind="stable")
    bounds = np.searchsorted(target[order], np.arange(partitions + 1))
    arranged = table.take(pa.array(order)).combine_chunks()
    most = max(_BLOB_BYTES * table.num_rows // max(table.nbytes, 1), 1)
    for pid in range(partitions):
        for start in range(bounds[pid], bounds[pid + 1], most):
            yield _rows([pid], tag, [_to_bytes(arranged.slice(start, min(most, bounds[pid + 1] - start)))])


def _rows(pids: list[int], tag: str, blobs: list[bytes]) -> pa.RecordBatch:
    columns = [pa.array(pids, pa.int32()), pa.array([tag] * len(pids)), pa.array(blobs, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, schema=_ARROW_SCHEMA)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece."""
    if isinstance(column, pa.Array):
        return column
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def packer(
    *, key: str | None, tag: str, partitions: int, hot: Hot | None = None, copies: bool = False
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A mapInArrow function that packs its rows (`pack`), a bounded number of bytes at a time."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in gathered(batches):
            yield from pack(table, key=key, tag=tag, partitions=partitions, hot=hot, copies=copies)

    return run


def gathered(batches: Iterable[pa.RecordBatch], *, flush_bytes: int = _FLUSH_BYTES) -> Iterator[pa.Table]:
    """Batches put together until they are worth a slice per partition, so that memory stays bounded."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= flush_bytes:
            yield pa.Table.from_batches(held)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held)


def narrowed(column: pa.Array) -> pa.Array:
    """An integer column in the smallest type that holds its values, for the journey; `unpack` widens what differs."""
    if not pa.types.is_int64(column.type) or column.null_count == len(column):
        return column
    low, high = pc.min_max(column).values()
    for kind, limit in ((pa.int8(), 1 << 7), (pa.int16(), 1 << 15), (pa.int32(), 1 << 31)):
        if -limit <= low.as_py() and high.as_py() < limit:
            return column.cast(kind)
    return column


def unpack(batches: Iterable[pa.RecordBatch]) -> dict[str, pa.Table]:
    """All tables that reached this partition, by tag."""
    parts: dict[str, list[pa.Table]] = {}
    for batch in batches:
        for tag, blob in zip(batch.column("tag").to_pylist(), batch.column("blob"), strict=True):
            parts.setdefault(tag, []).append(pa.ipc.open_stream(blob.as_buffer()).read_all())
    return {tag: pa.concat_tables(tables, promote_options="permissive") for tag, tables in parts.items()}


def exchange(packed: list[DataFrame], *, partitions: int) -> DataFrame:
    """Bring packed rows to the partitions they name."""
    together = packed[0]
    for frame in packed[1:]:
        together = together.unionByName(frame)
    return together.repartitionById(partitions, "pid")
