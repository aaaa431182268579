"""tiles: conformed events and profiles -> tiles_<group>, one partition per landing day."""

from datetime import date

from pyspark.sql import SparkSession

from features.assemble import tile_frames
from headrace import tables
from headrace.config import Config
from headrace.job import main
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the days' events, aggregate per group, write."""
    with tile_frames(spark, config, days=days) as frames:
        for name, tiles in frames.items():
            tables.write_days(tiles, config, table(config, f"tiles_{name}"), days=days)
    names = [f"tiles_{name}" for name in config.features.groups]
    return table_receipts(spark, config, "tiles", names=names, days=days)


if __name__ == "__main__":
    main("tiles")
