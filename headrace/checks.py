"""What must hold before a job starts: days that landed, were ingested, and were built by the configuration in use.

Each check raises InputError (exit 4) that names the first day it misses and the command that brings it.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from headrace import __version__
from headrace.config import Config
from headrace.days import day_end, day_range
from headrace.errors import InputError
from headrace.receipts import latest_receipts
from schemas.landing import landed_days

__all__ = ["TILES_PARTS", "check_horizon", "check_maturity", "check_tiles"]

TILES_PARTS = ("timezone", "features", "profiles")  # parts of the configuration that tiles depend on


def check_maturity(config: Config, *, ds: date, landed: Sequence[date]) -> None:
    """The maturity day of `ds` has landed (S26)."""
    mature = ds + timedelta(days=config.labels.maturity_days)
    if not landed or max(landed) < mature:
        last = max(landed) if landed else "none"
        when = day_end(mature, config.timezone)
        raise InputError(
            f"labels of {ds}",
            found=f"landing until {last}",
            wanted=f"landing until {mature}: a day is final {config.labels.maturity_days} day(s) later, from {when:%Y-%m-%d %H:%M} UTC on",
            remedy="run it again then, or ask for an earlier --ds",
        )


def check_horizon(config: Config, *, days: Sequence[date]) -> None:
    """The days of the duplicate horizon before `days` have been ingested (S9)."""
    landed = landed_days(config.landing, "impressions")
    start = config.start_ds or (landed[0] if landed else min(days))
    done = {day for job, day in latest_receipts(config) if job == "ingest"} | set(days)
    for day in sorted(days):
        back = day - timedelta(days=config.ingest.duplicate_horizon_days)
        lacking = [d for d in day_range(max(back, start), day - timedelta(days=1)) if d not in done]
        if lacking:
            raise InputError(
                f"ingest of {day}",
                found=f"{lacking[0]} not ingested",
                wanted=f"the {config.ingest.duplicate_horizon_days} days before it, where its repeats are looked up",
                remedy=f"headrace ingest --ds {day} --days {(day - lacking[0]).days + 1}, or headrace run, which does it",
            )


def check_tiles(config: Config, *, last: date) -> None:
    """Every day of tiles up to `last` was made by this configuration and code: two kinds would be added up silently."""
    wanted = (config.digest_of(*TILES_PARTS), __version__)
    made = {day: r for (job, day), r in latest_receipts(config).items() if job == "tiles" and day <= last}
    stale = sorted(day for day, r in made.items() if (r.config_hash, r.code_version) != wanted)
    if stale:
        raise InputError(
            f"tiles up to {last}",
            found=f"{len(stale)} day(s), {stale[0]} the first, made with other feature groups, profiles, timezone or code",
            wanted="all days of tiles made by the configuration in use",
            remedy=f"headrace tiles --ds {stale[-1]} --days {(stale[-1] - stale[0]).days + 1} with this configuration",
        )
