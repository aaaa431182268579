"""stats: tiles_<group> -> stats_<group> and priors_<group>, what the end of the day knows of every key."""

from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from headrace.job import main
from features.reading import met, snapshot_files
from features.snapshots import priors, snapshot, snapshot_moments, snapshot_tables
from headrace import tables
from headrace.config import Config
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the tiles, answer for every key, write."""
    groups = snapshot_files(config, last=max(days))
    made = {name: table(config, name) for group in groups for name in snapshot_tables(group.plan)}
    for one in made.values():  # all of them before the first is written
        tables.ensure(spark, config, one)
    with met(spark, config, groups, priors=True) as together:
        for plan in (group.plan for group in groups):
            moments = snapshot_moments(config.features.groups[plan.name], days, config.timezone)
            for name, how in zip(snapshot_tables(plan), (snapshot, priors), strict=False):
                answers = partial(how, together, plan, moments=moments, schema=made[name].schema)
                tables.write_files(config, made[name], answers, days=days)
    return table_receipts(spark, config, "stats", names=list(made), days=days)


if __name__ == "__main__":
    main("stats")
