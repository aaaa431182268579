"""Columns of time: effective arrival, visible time, tiles, as_of, business days. Microseconds as BIGINT throughout.

Nothing here depends on the session's timezone (S5): floors are arithmetic on microseconds, and business days go through
from_utc_timestamp and to_utc_timestamp with the timezone given.
"""

from datetime import timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from headrace.durations import MICROS, micros

__all__ = ["as_of_micros", "floor_micros", "local_time", "to_micros", "visible_micros"]


def to_micros(moment: Column) -> Column:
    """Timestamp to microseconds since the epoch."""
    return F.unix_micros(moment)


def floor_micros(value: Column, tick: int) -> Column:
    """Largest multiple of `tick` microseconds that is not above `value`; right before 1970 too."""
    return value if tick == 1 else value - F.pmod(value, F.lit(tick))


def visible_micros(event: Column, effective_arrival: Column, delay: timedelta) -> Column:
    """visible_ts = max(event_ts, effective arrival - delay), in microseconds (S3)."""
    return F.greatest(to_micros(event), to_micros(effective_arrival) - F.lit(micros(delay)))


def local_time(moment: Column, timezone: str) -> Column:
    """The wall clock of `timezone` at `moment`, as microseconds of a clock without zone."""
    return to_micros(F.from_utc_timestamp(moment, timezone))


def as_of_micros(request: Column, *, delay: timedelta, refresh: timedelta, timezone: str) -> Column:
    """as_of = floor(request_ts - delay, refresh), in microseconds (S2, S5).

    refresh 0 keeps the moment, 1 h floors to UTC hours, 1 d to the first instant of the business day.
    """
    moment = to_micros(request) - F.lit(micros(delay))
    if refresh < timedelta(days=1):
        return floor_micros(moment, micros(refresh) or 1)
    local = local_time(F.timestamp_micros(moment), timezone)
    midnight = F.timestamp_micros(floor_micros(local, MICROS["d"]))
    return to_micros(F.to_utc_timestamp(midnight, timezone))
