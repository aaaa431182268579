"""How our functions run in Spark's Python workers."""

import sys
from collections.abc import Callable, Iterable, Iterator
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

__all__ = ["forget_archives", "map_in_arrow"]

ArrowFunction = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def map_in_arrow(frame: DataFrame, function: ArrowFunction, schema: StructType | str) -> DataFrame:
    """`frame.mapInArrow(function, schema)` by workers that do not read the jars on their path again at every task."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        forget_archives()
        yield from function(batches)

    return frame.mapInArrow(run, schema)


def forget_archives() -> None:
    """Take the archives on the path out of the cache of the import system; the next import puts back what it needs.

    Spark puts every jar of `--packages` on the path of its Python workers, and up to 4.1 invalidates that cache at the
    start of every task (SPARK-54744). Python before 3.12 then reads the directories of all archives in the cache (python/cpython#103200):
    0.1 to 0.7 s a task with Delta's jars.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]
