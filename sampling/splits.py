"""Splits: which rows train, validate and test. A pure function of the row and the configuration."""

from itertools import accumulate, pairwise

from pyspark.sql import Column
from pyspark.sql import functions as F

from headrace.config.sampling import SplitConfig
from schemas.days import local_day

__all__ = ["split_of"]

_RANGE = 1 << 32


def split_of(split: SplitConfig | None, *, timezone: str) -> Column:
    """Name of the split that a row stands in, or null: in a gap, outside of all, or where none is declared."""
    if split is None:
        return F.lit(None).cast("string")
    return _by_time(split, timezone) if split.by == "time" else _by_user(split)


def _by_time(split: SplitConfig, timezone: str) -> Column:
    day = local_day(F.col("request_ts"), timezone)
    found = F.when(F.lit(False), "")
    for name, (first, last) in split.parts.items():  # type: ignore[misc]
        found = found.when(day.between(F.lit(first), F.lit(last)), name)
    return found


def _by_user(split: SplitConfig) -> Column:
    """Cut the range of the user's hash at the running sums of the shares; the last part takes what is left of it."""
    place = F.pmod(F.xxhash64("user_id", F.lit(split.salt)), F.lit(_RANGE))
    ends = [round(sum_ * _RANGE) for sum_ in accumulate(split.parts.values())]  # type: ignore[arg-type]
    ends[-1] = _RANGE
    found = F.when(F.lit(False), "")
    for name, (low, high) in zip(split.parts, pairwise([0, *ends]), strict=True):
        found = found.when((place >= low) & (place < high), name)
    return found
