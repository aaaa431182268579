"""tiles: conformed events and profiles -> tiles_<group>, one partition per landing day."""

from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from features.logs import packed_day_tiles
from features.tiles import merged_tiles
from headrace import tables
from headrace.config import Config
from headrace.job import main
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the days' events, aggregate per group, write."""
    with packed_day_tiles(spark, config, days=days) as packed:
        for name in config.features.groups:
            made = table(config, f"tiles_{name}")
            merged = partial(merged_tiles, packed, config.features, name=name, schema=made.schema)
            tables.write_files(spark, config, made, merged, days=days)
    names = [f"tiles_{name}" for name in config.features.groups]
    return table_receipts(spark, config, "tiles", names=names, days=days)


if __name__ == "__main__":
    main("tiles")
