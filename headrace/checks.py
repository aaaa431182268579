"""What must hold before a job starts: days that landed, were ingested, and were built by the configuration in use.

Each check raises InputError (exit 4) that names the first day it misses and the command that brings it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from headrace import __version__
from headrace.config import Config
from headrace.days import day_end, day_range
from headrace.digests import config_hashes
from headrace.errors import InputError
from headrace.receipts import Receipt, latest_receipts
from schemas.landing import landed_days

__all__ = ["check_built", "check_horizon", "check_maturity", "is_current"]


def is_current(hashes: Mapping[str, str], receipt: Receipt) -> bool:
    """Whether the configuration with these `config_hashes`, and this code, would make the same of the same input."""
    return receipt.config_hash == hashes[receipt.job] and receipt.code_version == __version__


def check_built(what: str, job: str, *, missing: Sequence[date], stale: Sequence[date]) -> None:
    """Refuse to read days of `job` that were not built, or by another configuration or code: both would mix in silently."""
    found = [
        f"{len(days)} day(s) of {job}, {min(days)} the first, {why}"
        for days, why in (
            (missing, "not built, not finished or refused"),
            (stale, "made with another configuration or version"),
        )
        if days
    ]
    if found:
        days = [*missing, *stale]
        span = f"--ds {max(days)}" + (f" --days {(max(days) - min(days)).days + 1}" if max(days) > min(days) else "")
        raise InputError(
            what,
            found=", ".join(found),
            wanted="the steps before it done for the day, by the configuration in use",
            remedy=f"headrace {job} {span} with this configuration, or headrace run, which does all steps",
        )


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
    """The days of the duplicate horizon before `days` have been ingested, by this configuration (S9)."""
    landed = landed_days(config.landing, "impressions")
    start = config.start_ds or (landed[0] if landed else min(days))
    latest, hashes = latest_receipts(config), config_hashes(config)
    done = {day for (job, day), r in latest.items() if job == "ingest" and is_current(hashes, r)} | set(days)
    for day in sorted(days):
        back = day - timedelta(days=config.ingest.duplicate_horizon_days)
        lacking = [d for d in day_range(max(back, start), day - timedelta(days=1)) if d not in done]
        if lacking:
            raise InputError(
                f"ingest of {day}",
                found=f"{lacking[0]} not ingested, or by another configuration or version",
                wanted=f"the {config.ingest.duplicate_horizon_days} days before it, where its repeats are looked up",
                remedy=f"headrace ingest --ds {day} --days {(day - lacking[0]).days + 1} with this configuration, or headrace run, which does it",
            )
