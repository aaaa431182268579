"""Context of the request on the local clock: hour, weekday, weekend, public holiday."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from features.clock import floor_micros, local_time
from headrace.durations import MICROS

__all__ = ["holiday_dates", "with_context"]

_SATURDAY = 6


def holiday_dates(country: str | None, *, years: range) -> list[str] | None:
    """Public holidays as ISO dates, or None where no country is configured."""
    if country is None:
        return None
    import holidays

    return sorted(day.isoformat() for day in holidays.country_holidays(country, years=years))


def with_context(rows: DataFrame, *, timezone: str, holidays: list[str] | None) -> DataFrame:
    """Add context_hour, context_weekday (1 = Monday), context_is_weekend, context_is_holiday at request_ts.

    Without a country context_is_holiday is null: unknown is not "no".
    """
    local = local_time(F.col("request_ts"), timezone)
    day = floor_micros(local, MICROS["d"])
    number = F.try_divide(day, F.lit(MICROS["d"])).cast("int")
    weekday = (F.pmod(number + 3, F.lit(7)) + 1).cast("int")  # 1970-01-01 was a Thursday
    date = F.date_add(F.lit("1970-01-01").cast("date"), number)
    holiday = F.lit(None).cast("boolean") if holidays is None else date.cast("string").isin(holidays)
    return rows.select(
        "*",
        ((local - day) / MICROS["h"]).cast("int").alias("context_hour"),
        weekday.alias("context_weekday"),
        (weekday >= _SATURDAY).alias("context_is_weekend"),
        holiday.alias("context_is_holiday"),
    )
