"""Hot keys: whose rows are too many for one task. Found from counts that tasks take of the spine; a few rows reach the driver.

A hot key's rows are dealt out among several partitions, and each of these gets all tiles of the key (headrace.exchange):
the rows of a training set need no other row, so the result does not depend on who is called hot.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace.arrowfiles import file_tasks, open_parts
from headrace.delta import DeltaFile
from headrace.exchange import Hot
from headrace.workers import map_in_arrow

__all__ = ["hot_authors", "hot_keys", "shares_of"]

_SHARE = 4  # a key is hot if it has more than 1 / _SHARE of an average partition's rows
_COUNTED = "column string, key bigint, rows bigint"


def shares_of(counts: Mapping[int, int], *, rows: int, partitions: int) -> dict[int, int]:
    """Hot key -> partitions that share its rows, so that no part is above 1 / 4 of the average partition."""
    most = max(rows / partitions / _SHARE, 1)
    return {key: min(int(-(-count // most)), partitions) for key, count in counts.items() if count > most}


def hot_keys(
    spark: SparkSession, files: Sequence[DeltaFile], *, columns: Sequence[str], partitions: int
) -> dict[str, Hot]:
    """Hot keys of each of `columns` in the rows of `files`.

    A task reports keys from a quarter of the bound on, so that what it leaves out cannot hide a hot key for long.
    """
    rows = sum(file.rows for file in files)
    tasks = file_tasks(spark, {"rows": files})
    pieces, least = tasks.pieces, 4 * _SHARE * partitions

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in open_parts(batches, pieces):
            for table in part.tables(list(columns)):
                for name in columns:
                    yield _frequent(table.column(name), name, least=table.num_rows // least)

    found: dict[str, Counter[int]] = {name: Counter() for name in columns}
    for row in (
        map_in_arrow(tasks.frame, count, _COUNTED).groupBy("column", "key").agg(F.sum("rows").alias("rows")).collect()
    ):
        found[row["column"]][row["key"]] = row["rows"]
    return {name: shares_of(counts, rows=rows, partitions=partitions) for name, counts in found.items()}


def _frequent(keys: pa.ChunkedArray, name: str, *, least: int) -> pa.RecordBatch:
    counted = pc.value_counts(keys.drop_null())
    values, counts = counted.field("values"), counted.field("counts")
    chosen = pc.greater(counts, least)
    kept = [values.filter(chosen), counts.filter(chosen)]
    return pa.RecordBatch.from_arrays(
        [pa.array([name] * len(kept[0]), pa.string()), *kept], names=["column", "key", "rows"]
    )


def hot_authors(items: DataFrame, authors: DataFrame, *, rows: int, partitions: int) -> Hot:
    """Hot authors from the item_id of every row and the latest author of every item (item_id, author_id)."""
    most = rows / partitions / _SHARE
    counted = items.groupBy("item_id").agg(F.count("*").alias("rows")).join(authors, "item_id", how="inner")
    totals = counted.groupBy("author_id").agg(F.sum("rows").alias("rows")).where(F.col("rows") > most)
    return shares_of({r["author_id"]: r["rows"] for r in totals.collect()}, rows=rows, partitions=partitions)
