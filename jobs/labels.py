"""labels: mature impressions and the engagements that followed -> labels."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from headrace import writing
from headrace.config import Config
from headrace.receipts import Receipt
from sampling.assemble import label_receipts, labelled
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Read impressions and engagements up to maturity, label, write."""
    labels = labelled(spark, config, days=days)
    writing.write_frame(labels, config, table(config, "labels"), days=days)
    return label_receipts(spark, config, days=days)


if __name__ == "__main__":
    main("labels")
