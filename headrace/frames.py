"""Small frames from rows of the driver."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

__all__ = ["frame_of", "no_rows"]


def frame_of(spark: SparkSession, rows: Iterable[Mapping[str, Any]], schema: StructType) -> DataFrame:
    """The columns of `schema` of the rows, by name, as a relation of the plan: no task reads it, and where it is empty
    Spark plans nothing that would.

    Spark's own way from a list of rows is an RDD, whose every scan starts Python workers, for no rows too.
    """
    wanted = to_arrow_schema(schema)
    table = pa.Table.from_pylist(list(rows), schema=wanted)
    hollow = [field.name for field in wanted if not field.nullable and table.column(field.name).null_count]
    if hollow:
        raise ValueError(f"columns {hollow}: found null, wanted a value in every row; this is a bug in headrace")
    return spark.createDataFrame(table, schema)


def no_rows(spark: SparkSession, schema: StructType) -> DataFrame:
    """An empty frame of these columns."""
    return frame_of(spark, [], schema)
