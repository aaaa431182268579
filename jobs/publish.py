"""publish: the gates, then a receipt that pins the training set's version; consumers read published days only."""

from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from headrace.config import Config
from headrace.publishing import publish_receipts
from headrace.receipts import Receipt

__all__ = ["build"]


def build(
    _spark: SparkSession | None, config: Config, days: list[date], *, accept: str | None = None
) -> dict[date, Receipt]:
    """Hold the day against the gates, read its receipts, pin what they wrote."""
    return publish_receipts(config, days=days, accept=accept)


if __name__ == "__main__":
    main("publish")
