"""state: tiles_<group> and an earlier state -> state_<group>, what the next day starts from."""

from datetime import date
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from headrace.job import main
from features.nightly import next_state
from features.plan import GroupPlan
from features.reading import met, state_files, state_moment
from headrace import tables, writing
from headrace.chain import up_to_date
from headrace.config import Config
from headrace.parallel import first_then_rest
from headrace.receipts import Receipt
from schemas.columns import Table
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read tiles and the state before, advance it, write; day by day, for each starts from the one before."""
    made = {name: table(config, f"state_{name}") for name in config.features.groups}
    for one in made.values():  # all of them before the first is written
        tables.ensure(config, one)
    states = up_to_date(config, "state") - set(days)
    for day in sorted(days):
        groups = state_files(config, day=day, states=states)
        with met(spark, config, groups, priors=False) as together:
            plans = [group.plan for group in groups]
            first_then_rest([partial(_write, config, together, plan, made[plan.name], day=day) for plan in plans])
        states.add(day)
    return table_receipts(spark, config, "state", names=[one.name for one in made.values()], days=days)


def _write(config: Config, together: DataFrame, plan: GroupPlan, one: Table, *, day: date) -> None:
    moment = state_moment(config, plan.name, day)
    advanced = partial(next_state, together, plan, ds=day, moment=moment, schema=one.schema)
    writing.write_files(config, one, advanced, days=[day])


if __name__ == "__main__":
    main("state")
