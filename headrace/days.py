"""Business days: where a day of the configured timezone begins and ends on the UTC clock."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["day_end", "day_range", "day_start", "epoch_micros", "spans"]


def day_start(ds: date, timezone: str) -> datetime:
    """First instant of the business day `ds`, in UTC.

    Days without midnight begin at the first instant that exists; days with two midnights begin
    at the earlier one (S5).
    """
    zone = ZoneInfo(timezone)
    local = datetime(ds.year, ds.month, ds.day, tzinfo=zone, fold=0)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).date() < ds:  # midnight falls into a gap: PEP 495 looks back
        instant = local.replace(fold=1).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        instant = _first_instant_after_gap(ds, zone, instant)
    return instant


def _first_instant_after_gap(ds: date, zone: ZoneInfo, near: datetime) -> datetime:
    """Bisect for the first UTC second whose local date is `ds`."""
    low, high = near - timedelta(hours=26), near + timedelta(hours=26)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        low, high = (low, middle) if middle.astimezone(zone).date() >= ds else (middle, high)
    return high


def day_end(ds: date, timezone: str) -> datetime:
    """First instant after the business day `ds`, in UTC."""
    return day_start(ds + timedelta(days=1), timezone)


def epoch_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def day_range(first: date, last: date) -> Iterator[date]:
    """Every day from `first` to `last`, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def spans(days: Sequence[date], *, most: int | None = None) -> str:
    """Runs of sorted days, all or the first `most` of them: `2024-05-01 to 2024-05-03, 2024-05-07 and 2 more`."""
    runs: list[list[date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    told = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = len(told[most:]) if most is not None else 0
    return ", ".join(told[:most]) + (f" and {more} more" if more else "")
