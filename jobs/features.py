"""features: spine, tiles, states and profiles -> training_set with every declared feature and its state."""

from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from headrace.job import main
from features.assemble import spine_features
from features.reading import feature_notes, spine_files, without_stored
from headrace import tables, writing
from headrace.chain import up_to_date
from headrace.config import Config
from headrace.receipts import Receipt
from schemas.receipts import table_receipts, with_notes
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read spine and tiles (from the latest state that fits), enrich, write."""
    groups = spine_files(config, days=days, states=up_to_date(config, "state"))
    stored, groups = without_stored(config, groups, days=days)
    training_set = partial(spine_features, spark, config, days=days, groups=groups, stored=stored)
    tables.ensure(config, table(config, "training_set"))
    writing.write_files(config, table(config, "training_set"), training_set, days=days)
    receipts = table_receipts(spark, config, "features", names=["training_set"], days=days)
    receipts = with_notes(receipts, feature_notes(config, groups))
    return tables.checked_against(config, receipts, "spine")


if __name__ == "__main__":
    main("features")
