"""The first pass over conformed rows: how many there are of each kind, and which keys may be repeats, in one scan.

Counts of a batch and the hashes of its keys travel to their partitions as packed Arrow batches (headrace.exchange); a
hash met twice is a suspect. What comes out is small: a count per day and set of flags, and one row per suspect.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headrace.exchange import PACKED_SCHEMA, exchange, pack, packer, unpack
from headrace.workers import map_in_arrow
from schemas.conform import COUNTED, REASON
from schemas.reading import DAY

__all__ = ["first_pass", "flag_counts", "flags_of", "hash_partitions", "suspects"]

_SCHEMA = "facts bigint, n bigint, _hash bigint"
_ARROW = pa.schema([("facts", pa.int64()), ("n", pa.int64()), ("_hash", pa.int64())])
_COUNTS, _HASHES = "counts", "hashes"
_DAY_SHIFT = 16  # facts = day number << 16 | flags
_HASHES_PER_PARTITION = 8_000_000
_BATCHES = Iterable[pa.RecordBatch]
_OUTPUT_ROWS = 1 << 16


def hash_partitions(rows: int, *, least: int) -> int:
    """Tasks that look for repeats: none holds more hashes than fit its memory easily."""
    return max(least, rows // _HASHES_PER_PARTITION + 1)


def first_pass(rows: DataFrame, earlier: DataFrame | None, *, key_hash: Column | None, partitions: int) -> DataFrame:
    """Count `rows` and find the hashes that occur more than once among good rows and `earlier`.

    Parameters
    ----------
    rows : conformed rows, good and bad, with `_reason`, `_ds` and `_counted_*`
    earlier : `_hash` of the rows landed before, or None
    key_hash : the hash of a row's key; None where no repeats are looked for
    partitions : tasks behind the exchange

    Returns
    -------
    frame (facts, n, _hash): facts and n of a count, or the _hash of a suspect; read with `flag_counts`, `suspects`
    """
    blank = F.lit(None).cast("bigint")
    hashed = blank if key_hash is None else F.when(F.col(REASON).isNull(), key_hash)
    facts = rows.select(_facts(rows).alias("facts"), hashed.alias("_hash"))
    packed = [map_in_arrow(facts, _packer(partitions), PACKED_SCHEMA)]
    if earlier is not None and key_hash is not None:
        packed.append(map_in_arrow(earlier, packer(key="_hash", tag=_HASHES, partitions=partitions), PACKED_SCHEMA))
    return map_in_arrow(exchange(packed, partitions=partitions), _gather, _SCHEMA)


def flags_of(rows: DataFrame) -> tuple[str, ...]:
    """Flags of a row, lowest bit first: refused, then every `_counted_*` column."""
    return ("refused", *(c for c in rows.columns if c.startswith(COUNTED)))


def _facts(rows: DataFrame) -> Column:
    good = F.col(REASON).isNull()
    bits = F.when(good, F.lit(0)).otherwise(F.lit(1))
    for place, name in enumerate(flags_of(rows)[1:], start=1):
        bits = bits + F.when(good & F.col(name), F.lit(1 << place)).otherwise(F.lit(0))
    return F.unix_date(DAY).cast("bigint") * F.lit(1 << _DAY_SHIFT) + bits


def _packer(partitions: int) -> Callable[[_BATCHES], Iterator[pa.RecordBatch]]:
    """Counts go to partition 0, hashes to their own."""
    pack_hashes = packer(key="_hash", tag=_HASHES, partitions=partitions)

    def run(batches: _BATCHES) -> Iterator[pa.RecordBatch]:
        counts: dict[int, int] = {}

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                _add(counts, batch.column("facts").to_numpy(), np.ones(batch.num_rows, np.int64))
                yield batch.select(["_hash"]).filter(batch.column("_hash").is_valid())

        yield from pack_hashes(counted())
        yield from pack(_count_table(counts), key=None, tag=_COUNTS, partitions=1)

    return run


def _add(counts: dict[int, int], facts: np.ndarray, n: np.ndarray) -> None:
    if len(facts) and facts.min() == facts.max():  # nearly every batch: one day, nothing remarkable
        counts[int(facts[0])] = counts.get(int(facts[0]), 0) + int(n.sum())
        return
    values, places = np.unique(facts, return_inverse=True)
    for value, total in zip(values, np.bincount(places, weights=n), strict=True):
        counts[int(value)] = counts.get(int(value), 0) + int(total)


def _count_table(counts: dict[int, int]) -> pa.Table:
    nothing = pa.nulls(len(counts), pa.int64())
    return pa.table([pa.array(counts.keys(), pa.int64()), pa.array(counts.values(), pa.int64()), nothing], _ARROW)


def _gather(batches: _BATCHES) -> Iterator[pa.RecordBatch]:
    tables = unpack(batches)
    if _COUNTS in tables:
        counts: dict[int, int] = {}
        _add(counts, tables[_COUNTS]["facts"].to_numpy(), tables[_COUNTS]["n"].to_numpy())
        yield from _count_table(counts).to_batches()
    if _HASHES in tables:
        hashes = np.sort(tables.pop(_HASHES)["_hash"].to_numpy())
        twice = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        nothing = pa.nulls(len(twice), pa.int64())
        yield from pa.table([nothing, nothing, pa.array(twice)], _ARROW).to_batches(max_chunksize=_OUTPUT_ROWS)


def flag_counts(found: DataFrame) -> DataFrame:
    """(day, flags, n): a handful of rows a day."""
    counts = found.where(F.col("facts").isNotNull())
    number = F.shiftright("facts", _DAY_SHIFT).cast("int")
    flags = F.col("facts").bitwiseAND(F.lit((1 << _DAY_SHIFT) - 1))
    return counts.select(F.date_from_unix_date(number).alias("day"), flags.alias("flags"), "n")


def suspects(found: DataFrame) -> DataFrame:
    """(_hash), each once."""
    return found.where(F.col("_hash").isNotNull()).select("_hash")
