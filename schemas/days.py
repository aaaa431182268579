"""The business day as a Spark column."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from headrace.durations import MICROS

__all__ = ["ds_start", "local_day"]


def ds_start(ds: Column, timezone: str) -> Column:
    """First instant of the business day `ds` (a DATE) as a timestamp; see headrace.days.day_start."""
    midnight = F.datediff(ds, F.lit("1970-01-01").cast("date")).cast("bigint") * MICROS["d"]
    return F.to_utc_timestamp(F.timestamp_micros(midnight), timezone)


def local_day(moment: Column, timezone: str) -> Column:
    """Business day of a timestamp, a DATE."""
    return F.to_date(F.from_utc_timestamp(moment, timezone))
