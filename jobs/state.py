"""state: tiles_<group> and an earlier state -> state_<group>, what the next day starts from."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from features.assemble import state_build
from features.build import group_plans
from headrace import tables
from headrace.chain import up_to_date
from headrace.config import Config, value_types
from headrace.receipts import Receipt
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read tiles and the state before, advance it, write; day by day, for each starts from the one before."""
    plans = group_plans(config.features, types=value_types(config))
    made = {plan.name: table(config, f"state_{plan.name}") for plan in plans}
    for one in made.values():  # all of them before the first is written
        tables.ensure(spark, config, one)
    states = sorted(up_to_date(config, "state") - set(days))
    for day in sorted(days):
        for plan in plans:
            build_state = state_build(spark, config, plan, made[plan.name], day=day, states=states)
            tables.write_files(config, made[plan.name], build_state, days=[day])
        states.append(day)
    return table_receipts(spark, config, "state", names=[one.name for one in made.values()], days=days)


if __name__ == "__main__":
    main("state")
