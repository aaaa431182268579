"""Content hashes from the bytes of a table, without Spark: the same text as headrace.hashes gives through it.

A row's hash is Spark's xxhash64 over its columns by name: the hash of one column is the seed of the next, a null leaves
the seed as it is; then a bit for each null (headrace.hashes). XXH64 as in https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md; what Spark feeds it, by
type, as in HashExpression and XXH64.java of Spark 4.1. All rows of a batch are hashed at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from numpy.typing import NDArray

from headrace.delta import DeltaFile, delta_files, file_system, is_table
from headrace.errors import InputError

__all__ = ["EMPTY", "content_hash_of", "hash_batches", "hash_column", "rows_of"]

EMPTY = "empty"  # content hash of no rows
Words = NDArray[np.uint64]
_SEED = 42
_NULLS_PER_MASK = 62
_BATCH_ROWS = 1 << 15  # a column of hashes stays in the cache of a core
_WRAP = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_NAN = 0x7FF8000000000000  # Double.doubleToLongBits has one NaN


def content_hash_of(uri: str, *, day: date, version: int | None = None, unhashed: Sequence[str] = ()) -> str:
    """Content hash of a day of a Delta table, at a version (the latest without), read from its Parquet files.

    Parameters
    ----------
    unhashed : columns that stay out, as for headrace.tables.committed_hashes

    Returns
    -------
    "empty" where the day has no rows, or where no table lies

    Raises
    ------
    InputError
        Rows are deleted beside the files, or columns renamed.
    """
    if not is_table(uri):
        return EMPTY
    schema = pa.schema([field for field in _schema_of(uri, version) if field.name not in unhashed])
    files = delta_files(uri, days=[day], version=version)
    return hash_batches(_batches(uri, files, schema.names), schema)


def hash_batches(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> str:
    """Content hash of all rows over `columns`, which say the types; a column that a batch lacks is null.

    Count, xor, and the sums of the low and the high halves of the rows' hashes, in hexadecimal.
    """
    count = folded = low = high = 0
    for batch in batches:
        hashes = np.full(batch.num_rows, _SEED, np.uint64)
        for field in sorted((f for f in columns if f.name in batch.schema.names), key=lambda f: f.name):
            column = batch.column(field.name)
            hashes = hash_column(column if column.type == field.type else column.cast(field.type), hashes)
        for mask in _null_masks(batch, sorted(f.name for f in columns)):
            hashes = hash_column(mask, hashes)
        count += len(hashes)
        folded ^= int(np.bitwise_xor.reduce(hashes, initial=0))
        low += int(np.sum(hashes & _LOW))
        high += int(np.sum(hashes >> _HALF))
    return f"{count:x}-{folded:016x}-{low & _WRAP:x}-{high & _WRAP:x}" if count else EMPTY


def _null_masks(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[pa.Array]:
    """One int64 for every 62 columns, with a bit for each null (headrace.hashes)."""
    for start in range(0, len(names), _NULLS_PER_MASK):
        mask = np.zeros(batch.num_rows, np.int64)
        for place, name in enumerate(names[start : start + _NULLS_PER_MASK]):
            absent = np.asarray(batch.column(name).is_null()) if name in batch.schema.names else True
            mask |= np.where(absent, np.int64(1) << place, np.int64(0))
        yield pa.array(mask)


def rows_of(content_hash: str) -> int:
    """Rows that a content hash counts."""
    return 0 if content_hash == EMPTY else int(content_hash.partition("-")[0], 16)


def _schema_of(uri: str, version: int | None) -> pa.Schema:
    """Columns at a version; what is read as it lies must be what the table says."""
    table = DeltaTable(uri, version=version)
    odd = sorted({"deletionVectors"} & set(table.protocol().reader_features or []))
    odd += ["columnMapping"] if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none" else []
    if odd:
        raise InputError(
            uri,
            found=f"a table with {' and '.join(odd)}",
            wanted="plain Parquet files, as headrace writes them",
            remedy="rewrite the table without them, or build it again in another root",
        )
    return pa.schema(table.schema().to_arrow())


def _batches(uri: str, files: Sequence[DeltaFile], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of the files, of bounded length, with `ds`, which the log knows."""
    system, base = file_system(uri)
    for file in files:
        with system.open_input_file(f"{base}/{file.path}") as source:
            parquet = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
            stored = [name for name in parquet.schema_arrow.names if name in names and name != "ds"]
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=stored):
                yield batch.append_column("ds", pa.repeat(pa.scalar(file.ds, pa.date32()), batch.num_rows))


def hash_column(column: pa.Array, seeds: Words) -> Words:
    """XXH64 of every value with a seed of its own.

    Parameters
    ----------
    column : boolean, whole number, double, string, binary, date, timestamp in microseconds, or a list or struct of these
    seeds : one a row; a null returns it

    Raises
    ------
    TypeError
        A type that Spark does not hash (a map), or that no table here has.
    """
    if column.null_count == len(column):
        return seeds
    kind, types = column.type, pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        hashes = _hash_lists(column, seeds)
    elif types.is_struct(kind):
        hashes = seeds
        for part in column.flatten():
            hashes = hash_column(part, hashes)
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        hashes = _hash_texts(column.cast(pa.large_binary()), seeds)
    elif types.is_float64(kind):
        hashes = _finish(_with_long(seeds + (_P5 + 8), _double_bits(column)))
    elif types.is_int64(kind) or (types.is_timestamp(kind) and kind.unit == "us"):
        hashes = _finish(_with_long(seeds + (_P5 + 8), _numbers(column, pa.int64())))
    elif types.is_boolean(kind) or types.is_date32(kind) or (types.is_signed_integer(kind) and kind.bit_width < 64):
        hashes = _finish(_with_int(seeds + (_P5 + 4), _numbers(column, pa.int32()) & _LOW))
    else:
        raise TypeError(f"no hash of {kind}: found a type that no table has, wanted one of schemas.columns")
    return np.where(np.asarray(column.is_valid()), hashes, seeds) if column.null_count else hashes


def _numbers(column: pa.Array, width: pa.DataType) -> Words:
    return np.asarray(column.cast(width).fill_null(0)).astype(np.uint64)


def _double_bits(column: pa.Array) -> Words:
    """Bits as Spark hashes them: -0.0 is 0.0, every NaN is one."""
    values = np.asarray(column.fill_null(0.0)) + 0.0  # IEEE 754: -0.0 + 0.0 is 0.0
    return np.where(np.isnan(values), np.uint64(_NAN), values.view(np.uint64))


def _hash_lists(column: pa.Array, seeds: Words) -> Words:
    """Element after element of all lists that are so long."""
    offsets = np.asarray(column.offsets)
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes, rows, place = seeds.copy(), np.flatnonzero(lengths), 0
    while len(rows):
        hashes[rows] = hash_column(column.values.take(pa.array(starts[rows] + place)), hashes[rows])
        place += 1
        rows = rows[lengths[rows] > place]
    return hashes


def _hash_texts(column: pa.Array, seeds: Words) -> Words:
    """XXH64 of texts: stripes of 32 bytes, then up to three words, four bytes, and up to three single bytes."""
    _, offsets, buffer = column.buffers()
    ends = np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8)
    starts, lengths = ends[:-1] - ends[0], np.diff(ends)
    inside = int(ends[-1] - ends[0])
    data = np.zeros(inside + 8, np.uint8)  # a word may be read from any byte, and behind the last
    if inside:
        data[:inside] = np.frombuffer(buffer, np.uint8, inside, int(ends[0]))
    words: Words = np.ndarray((inside + 1,), "<u8", data.data, strides=(1,))
    hashes, long = seeds + _P5, np.flatnonzero(lengths >= 32)
    if len(long):
        hashes[long] = _stripes(words, starts[long], lengths[long] >> 5, seeds[long])
    hashes += lengths.astype(np.uint64)
    at, left = starts + (lengths & ~31), lengths & 31
    for place in (0, 8, 16):
        rows = np.flatnonzero(left >= place + 8)
        hashes[rows] = _with_long(hashes[rows], words[at[rows] + place])
    rest = words[at + (left & 24)]
    rows = np.flatnonzero(left & 4)
    hashes[rows] = _with_int(hashes[rows], rest[rows] & _LOW)
    rest[rows] >>= _HALF
    for place in (0, 1, 2):
        rows = np.flatnonzero((left & 3) > place)
        hashes[rows] = _with_byte(hashes[rows], (rest[rows] >> np.uint64(8 * place)) & np.uint64(0xFF))
    return _finish(hashes)


def _stripes(words: Words, starts: NDArray[np.int64], stripes: NDArray[np.int64], seeds: Words) -> Words:
    """Four lanes over the whole stripes of texts that have one, merged."""
    lanes = np.stack([seeds + ((_P1 + _P2) & _WRAP), seeds + _P2, seeds, seeds - _P1])  # (4, rows)
    rows, place, lane_bytes = np.arange(len(seeds)), 0, np.arange(0, 32, 8)[:, None]
    while len(rows):
        lanes[:, rows] = _round(lanes[:, rows] + words[starts[rows] + 32 * place + lane_bytes] * _P2)
        place += 1
        rows = rows[stripes[rows] > place]
    merged: Words = np.sum([_turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)], axis=0)
    for lane in lanes:
        merged = (merged ^ _round(lane * _P2)) * _P1 + _P4
    return merged


def _turned(words: Words, by: int) -> Words:
    """Bits rotated to the left."""
    return (words << np.uint64(by)) | (words >> np.uint64(64 - by))


def _round(words: Words) -> Words:
    return _turned(words, 31) * _P1


def _with_long(hashes: Words, words: Words) -> Words:
    return _turned(hashes ^ _round(words * _P2), 27) * _P1 + _P4


def _with_int(hashes: Words, words: Words) -> Words:
    return _turned(hashes ^ (words * _P1), 23) * _P2 + _P3


def _with_byte(hashes: Words, words: Words) -> Words:
    return _turned(hashes ^ (words * _P5), 11) * _P1


def _finish(hashes: Words) -> Words:
    """The last step of XXH64: every bit of the input may turn every bit of the hash."""
    hashes = (hashes ^ (hashes >> np.uint64(33))) * _P2
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _P3
    return hashes ^ (hashes >> _HALF)
