"""stats: tiles_<group> -> stats_<group> and priors_<group>, what the end of the day knows of every key."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from headrace.job import main
from features.plan import GroupPlan
from features.reading import met, snapshot_files
from features.snapshots import priors, snapshot, snapshot_moments, snapshot_tables
from headrace import tables, writing
from headrace.chain import up_to_date
from headrace.config import Config
from headrace.parallel import first_then_rest
from headrace.receipts import Receipt, latest_receipts
from schemas.columns import Table
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the tiles, answer for every key, write."""
    groups = snapshot_files(config, last=max(days))
    made = {name: table(config, name) for group in groups for name in snapshot_tables(group.plan)}
    for one in made.values():  # all of them before the first is written
        tables.ensure(config, one)
    with met(spark, config, groups, priors=True) as together:
        calls = [
            partial(_write, config, together, group.plan, made[name], how, days=days)
            for group in groups
            for name, how in zip(snapshot_tables(group.plan), (snapshot, priors), strict=False)
        ]
        first_then_rest(calls)
    receipts = table_receipts(spark, config, "stats", names=list(made), days=days)
    return _with_lacking(config, receipts)


def _with_lacking(config: Config, receipts: dict[date, Receipt]) -> dict[date, Receipt]:
    """Note as `days_lacking` the earlier days of history without such a snapshot; a day holds only rows with news."""
    start = config.start_ds or date.min
    history = {ds for job, ds in latest_receipts(config) if job == "ingest" and ds >= start}
    lacking = sorted(history - up_to_date(config, "stats") - set(receipts))
    earlier = {day: " ".join(str(ds) for ds in lacking if ds < day) for day in receipts}
    return {
        day: replace(r, notes={**r.notes, "days_lacking": earlier[day]}) if earlier[day] else r
        for day, r in receipts.items()
    }


def _write(
    config: Config, together: DataFrame, plan: GroupPlan, one: Table, how: Callable[..., DataFrame], *, days: list[date]
) -> None:
    moments = snapshot_moments(config.features.groups[plan.name], days, config.timezone)
    answers = partial(how, together, plan, moments=moments, schema=one.schema)
    writing.write_files(config, one, answers, days=days)


if __name__ == "__main__":
    main("stats")
