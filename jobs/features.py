"""features: spine, tiles and profiles -> training_set with every declared feature and its state."""

from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from headrace.job import main
from features.assemble import spine_features
from headrace import tables
from headrace.config import Config
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read spine and tiles, enrich, write."""
    training_set = partial(spine_features, spark, config, days=days)
    tables.ensure(spark, config, table(config, "training_set"))
    tables.write_files(config, table(config, "training_set"), training_set, days=days)
    receipts = table_receipts(spark, config, "features", names=["training_set"], days=days)
    return tables.checked_against(config, receipts, "spine")


if __name__ == "__main__":
    main("features")
