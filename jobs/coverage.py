"""coverage: training_set -> coverage, the six states of every feature in every slice."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from headrace import tables
from headrace.config import Config, feature_columns
from headrace.receipts import Receipt
from reports.coverage import build_coverage
from schemas.receipts import table_receipts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read the training set, count states, write. Moments are floats and stay out of the content hash."""
    training_set = tables.read(spark, config, "training_set", days=days)
    cut = config.coverage
    coverage = build_coverage(training_set, feature_columns(config), slices=cut.slices, max_values=cut.max_slice_values)
    tables.write_days(coverage, config, table(config, "coverage"), days=days, gather=True)
    return table_receipts(spark, config, "coverage", names=["coverage"], days=days, unhashed=("mean", "std"))


if __name__ == "__main__":
    main("coverage")
