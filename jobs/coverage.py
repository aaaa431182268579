"""coverage: training_set -> coverage, the six states and the distribution of every feature in every slice."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from headrace import writing
from headrace.config import Config
from headrace.receipts import Receipt
from reports.coverage import build_coverage
from schemas.coverage import UNHASHED
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the training set, count, compare with the days before, write."""
    coverage = build_coverage(spark, config, days=days)
    writing.write_frame(coverage, config, table(config, "coverage"), days=days)
    return table_receipts(spark, config, "coverage", names=["coverage"], days=days, unhashed=UNHASHED)


if __name__ == "__main__":
    main("coverage")
