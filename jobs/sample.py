"""sample: labels -> sampling_plan, then the spine with a rate on every row, and sampling_rates."""

from dataclasses import asdict
from datetime import date

from pyspark.sql import SparkSession

from headrace.job import main
from headrace import writing
from headrace.config import Config
from headrace.frames import frame_of
from headrace.receipts import Receipt
from sampling.assemble import check_rates, realised_rates, sample_receipts, sampled, sampling_plan, seen_counts
from schemas.tables import table

__all__ = ["build"]


def build(spark: SparkSession, config: Config, days: list[date], *, accept: str | None = None) -> dict[date, Receipt]:
    """Solve and write the rates, draw and write rows; the rates are checked against what was committed."""
    seen = seen_counts(spark, config, days=days)
    plan = sampling_plan(spark, config, seen, days=days)
    writing.write_frame(plan, config, table(config, "sampling_plan"), days=days)
    spine = sampled(spark, config, days=days)
    writing.write_frame(spine, config, table(config, "spine"), days=days)
    rates = realised_rates(spark, config, seen, days=days)
    frame = frame_of(spark, [asdict(row) for row in rates], table(config, "sampling_rates").schema)
    writing.write_frame(frame, config, table(config, "sampling_rates"), days=days)
    return check_rates(rates, sample_receipts(spark, config, days=days), accept=accept)


if __name__ == "__main__":
    main("sample")
