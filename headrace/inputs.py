"""What each step of the chain reads, as content hashes: from receipts, and from the files that landed."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache

from headrace.checks import is_current
from headrace.config import Config
from headrace.days import day_range
from headrace.digests import config_hashes
from headrace.receipts import REFUSED, Receipt
from schemas.landing import landed_days, landing_digest

__all__ = ["INPUTS", "Known"]

PROFILES = ("user_profile", "item_profile")


@dataclass
class Known:
    """What the receipts say so far, and what lies in landing."""

    config: Config
    receipts: dict[tuple[str, date], Receipt]
    digests: dict[tuple[str, date], str] = field(default_factory=dict)
    hashes: dict[str, str] = field(init=False)
    missing: dict[str, set[date]] = field(default_factory=dict)
    stale: dict[str, set[date]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hashes = config_hashes(self.config)

    def landing(self, table: str, day: date) -> str:
        """Digest of a day's landing files."""
        key = (table, day)
        if key not in self.digests:
            self.digests[key] = landing_digest(self.config.landing, table, day)
        return self.digests[key]

    def output(self, job: str, table: str, day: date) -> str:
        """Content hash that `job` recorded for a table and day; what there is not, or not of this configuration, is noted."""
        receipt = self.receipts.get((job, day))
        if receipt is None or receipt.status == REFUSED:
            self.missing.setdefault(job, set()).add(day)
            return "absent"
        if not is_current(self.hashes, receipt):
            self.stale.setdefault(job, set()).add(day)
            return "stale"
        return receipt.outputs.get(table, "absent")

    def outputs(self, job: str, table: str, *, last: date, days: Iterable[date] = ()) -> str:
        """One hash over the days from the start of history to `last` that have been built, and over `days`, which must be."""
        start = self.config.start_ds or date.min
        built = {d for j, d in self.receipts if j == job and start <= d <= last}
        facts = [f"{d}={self.output(job, table, d)}" for d in sorted(built | set(days))]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]

    def ingested(self, last: date) -> set[date]:
        """Days of history that have been ingested."""
        start = self.config.start_ds or date.min
        return {d for j, d in self.receipts if j == "ingest" and start <= d <= last}


def _ingest_inputs(known: Known, day: date) -> dict[str, str]:
    start = known.config.start_ds or date.min
    first = max(day - timedelta(days=known.config.ingest.duplicate_horizon_days), start)
    found = {
        f"landing/{table}/ds={d}": known.landing(table, d)
        for table in ("impressions", "engagements")
        for d in day_range(first, day)
    }
    for table in PROFILES:
        days = [d for d in _landed(known.config.landing, table) if start <= d <= day]
        facts = "\n".join(f"{d}={known.landing(table, d)}" for d in days)
        found[f"landing/{table}/ds<={day}"] = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return found


@cache
def _landed(landing: str, table: str) -> tuple[date, ...]:
    return tuple(landed_days(landing, table))


def _profile_inputs(known: Known, last: date) -> dict[str, str]:
    return {f"{table}/ds<={last}": known.outputs("ingest", table, last=last) for table in PROFILES}


def _tiles_inputs(known: Known, day: date) -> dict[str, str]:
    found = {f"{t}/ds={day}": known.output("ingest", t, day) for t in ("impressions", "engagements")}
    features = known.config.features
    if any(features.impression_columns(name) for name in features.groups):
        found |= {f"{t}/ds<={day}": known.outputs("ingest", t, last=day) for t in ("impressions", "engagements")}
    return found | _profile_inputs(known, day)


def _labels_inputs(known: Known, day: date) -> dict[str, str]:
    labels = known.config.labels
    mature = day + timedelta(days=labels.maturity_days)
    needed = [day] if labels.provisional else list(day_range(day, mature))
    return {
        f"impressions/ds<={day}": known.outputs("ingest", "impressions", last=day, days=[day]),
        f"engagements/ds<={mature}": known.outputs("ingest", "engagements", last=mature, days=needed),
        **_profile_inputs(known, day + timedelta(days=1)),
    }


def _sample_inputs(known: Known, day: date) -> dict[str, str]:
    return {f"labels/ds={day}": known.output("labels", "labels", day)}


def _features_inputs(known: Known, day: date) -> dict[str, str]:
    next_day = day + timedelta(days=1)
    found = {f"spine/ds={day}": known.output("sample", "spine", day)}
    history = known.ingested(next_day) | (set() if known.config.labels.provisional else {next_day})
    for name in known.config.features.groups:
        table = f"tiles_{name}"
        found[f"{table}/ds<={next_day}"] = known.outputs("tiles", table, last=next_day, days=history)
    return found | _profile_inputs(known, next_day)


def _coverage_inputs(known: Known, day: date) -> dict[str, str]:
    return {f"training_set/ds={day}": known.output("features", "training_set", day)}


def _publish_inputs(known: Known, day: date) -> dict[str, str]:
    return {
        f"sampling_rates/ds={day}": known.output("sample", "sampling_rates", day),
        f"training_set/ds={day}": known.output("features", "training_set", day),
        f"coverage/ds={day}": known.output("coverage", "coverage", day),
    }


def _stats_inputs(known: Known, day: date) -> dict[str, str]:
    history = known.ingested(day) | {day}
    return {
        f"tiles_{name}/ds<={day}": known.outputs("tiles", f"tiles_{name}", last=day, days=history)
        for name in known.config.features.groups
    }


INPUTS: dict[str, Callable[[Known, date], dict[str, str]]] = {
    "ingest": _ingest_inputs,
    "tiles": _tiles_inputs,
    "labels": _labels_inputs,
    "sample": _sample_inputs,
    "features": _features_inputs,
    "coverage": _coverage_inputs,
    "publish": _publish_inputs,
    "stats": _stats_inputs,
    "state": _stats_inputs,
}
