"""ingest: landing files -> impressions, engagements, profiles; bad rows to quarantine, repeats to duplicates."""

from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from headrace.job import main
from headrace.checks import check_horizon
from headrace.config import Config
from headrace.parallel import at_once
from headrace.receipts import Receipt
from schemas.ingest import ingest_table, survey
from schemas.landing import INGESTED
from schemas.reading import unreadable_files
from schemas.receipts import ingest_receipts

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date]) -> dict[date, Receipt]:
    """Survey everything first, so that an unreadable file stops the run before anything is written."""
    check_horizon(config, days=days)
    landed = [survey(config, name, days=days) for name in INGESTED]
    with unreadable_files():
        made = at_once([partial(ingest_table, spark, config, found) for found in landed])
        results = {found.name: result for found, result in zip(landed, made, strict=True)}
    return ingest_receipts(spark, config, results, days=days)


if __name__ == "__main__":
    main("ingest")
