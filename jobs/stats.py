"""stats: tiles_<group> -> stats_<group> and priors_<group>, what the end of the day knows of every key."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from features.assemble import group_snapshots, snapshot_tables
from headrace import tables
from headrace.config import Config
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the tiles, answer for every key, write."""
    made = {name: table(config, name) for group in config.features.groups for name in snapshot_tables(config, group)}
    for one in made.values():  # all of them before the first is written
        tables.ensure(spark, config, one)
    for name, build_table in group_snapshots(spark, config, made, days=days):
        tables.write_files(config, made[name], build_table, days=days)
    return table_receipts(spark, config, "stats", names=list(made), days=days)


if __name__ == "__main__":
    main("stats")
