"""The daily chain, defined once: its steps, what each reads, and which days need building.

`headrace run`, the jobs under spark-submit and the DAG all read STEPS from here.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.checks import TILES_PARTS, check_maturity
from headrace.config import Config
from headrace.days import day_range
from headrace.errors import InputError
from headrace.receipts import Receipt, latest_receipts, write_receipts
from schemas.landing import landed_days, landing_digest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["STEPS", "Plan", "Step", "StepOutcome", "plan_run", "run_step"]

PROFILES = ("user_profile", "item_profile")


@dataclass(frozen=True)
class Step:
    """One job of the chain.

    Attributes
    ----------
    name : str
        Job, command and module under jobs/.
    config_parts : tuple of str
        The parts of the configuration that its result depends on.
    inputs : (Known, day) -> {input: content hash}
    """

    name: str
    config_parts: tuple[str, ...]
    inputs: Callable[["Known", date], dict[str, str]]


@dataclass
class Known:
    """What the receipts say so far, and what lies in landing."""

    config: Config
    receipts: dict[tuple[str, date], Receipt]
    digests: dict[tuple[str, date], str] = field(default_factory=dict)

    def landing(self, table: str, day: date) -> str:
        """Digest of a day's landing files."""
        key = (table, day)
        if key not in self.digests:
            self.digests[key] = landing_digest(self.config.landing, table, day)
        return self.digests[key]

    def output(self, job: str, table: str, day: date) -> str:
        """Content hash that `job` recorded for a table and day."""
        receipt = self.receipts.get((job, day))
        return "absent" if receipt is None else receipt.outputs.get(table, "absent")

    def outputs(self, job: str, table: str, *, last: date, first: date | None = None) -> str:
        """One hash over the days up to `last` that have been built."""
        days = sorted(d for j, d in self.receipts if j == job and d <= last and (first is None or d >= first))
        facts = [f"{d}={self.output(job, table, d)}" for d in days]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _ingest_inputs(known: Known, day: date) -> dict[str, str]:
    horizon = known.config.ingest.duplicate_horizon_days
    found = {
        f"landing/{table}/ds={d}": known.landing(table, d)
        for table in ("impressions", "engagements")
        for d in day_range(day - timedelta(days=horizon), day)
    }
    for table in PROFILES:
        days = [d for d in _landed(known.config.landing, table) if d <= day]
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
    if any((g.segment or "").startswith("impression.") for g in known.config.features.groups.values()):
        found |= {f"{t}/ds<={day}": known.outputs("ingest", t, last=day) for t in ("impressions", "engagements")}
    return found | _profile_inputs(known, day)


def _labels_inputs(known: Known, day: date) -> dict[str, str]:
    mature = day + timedelta(days=known.config.labels.maturity_days)
    return {
        f"impressions/ds<={day}": known.outputs("ingest", "impressions", last=day),
        f"engagements/ds<={mature}": known.outputs("ingest", "engagements", last=mature),
        **_profile_inputs(known, day + timedelta(days=1)),
    }


def _sample_inputs(known: Known, day: date) -> dict[str, str]:
    return {f"labels/ds={day}": known.output("labels", "labels", day)}


def _features_inputs(known: Known, day: date) -> dict[str, str]:
    next_day = day + timedelta(days=1)
    found = {f"spine/ds={day}": known.output("sample", "spine", day)}
    for name in known.config.features.groups:
        found[f"tiles_{name}/ds<={next_day}"] = known.outputs("tiles", f"tiles_{name}", last=next_day)
    return found | _profile_inputs(known, next_day)


def _coverage_inputs(known: Known, day: date) -> dict[str, str]:
    return {f"training_set/ds={day}": known.output("features", "training_set", day)}


def _publish_inputs(known: Known, day: date) -> dict[str, str]:
    return {
        f"sampling_rates/ds={day}": known.output("sample", "sampling_rates", day),
        f"training_set/ds={day}": known.output("features", "training_set", day),
        f"coverage/ds={day}": known.output("coverage", "coverage", day),
    }


STEPS: tuple[Step, ...] = (
    Step("ingest", ("timezone", "ingest", "profiles"), _ingest_inputs),
    Step("tiles", TILES_PARTS, _tiles_inputs),
    Step("labels", ("timezone", "labels", "profiles"), _labels_inputs),
    Step("sample", ("labels", "sampling"), _sample_inputs),
    Step("features", ("timezone", "country", "features", "profiles", "context"), _features_inputs),
    Step("coverage", ("coverage", "features", "profiles", "context"), _coverage_inputs),
    Step("publish", ("features", "labels", "sampling"), _publish_inputs),
)


@dataclass(frozen=True)
class Plan:
    """Which days each step has to look at so that `days` get published."""

    days: list[date]
    per_step: dict[str, list[date]]


def plan_run(config: Config, *, ds: date, days: int) -> Plan:
    """Days of each step for a run that ends with `ds`.

    Raises
    ------
    InputError
        Nothing has landed, or a day's labels are not mature yet.
    """
    landed = landed_days(config.landing, "impressions")
    if not landed:
        raise InputError(
            f"{config.landing}/impressions",
            found="no folder ds=YYYY-MM-DD",
            wanted="landing files, one folder a day",
            remedy="check `landing` in the config, or make a world with `headrace simulate`",
        )
    start = config.start_ds or landed[0]
    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    if chosen[0] < start:
        raise InputError(
            f"--ds {ds} --days {days}",
            found=f"a first day {chosen[0]}",
            wanted=f"days from {start} on, where history begins",
            remedy="ask for fewer days or a later one",
        )
    check_maturity(config, ds=ds, landed=landed)
    mature = ds + timedelta(days=config.labels.maturity_days)
    history = list(day_range(start, mature))
    tiled = list(day_range(start, ds + timedelta(days=1)))
    per_step = {step.name: chosen for step in STEPS} | {"ingest": history, "tiles": tiled}
    return Plan(chosen, per_step)


@dataclass(frozen=True)
class StepOutcome:
    """What one step did."""

    step: str
    built: list[date]
    skipped: list[date]
    seconds: float
    receipts: list[Receipt]


def run_step(
    spark: Callable[[], "SparkSession"], config: Config, step: Step, *, days: Sequence[date], rebuild: bool = False
) -> StepOutcome:
    """Build the days whose receipt does not already say done with the same inputs, config and code.

    `spark` is called only if there is something to build, so that a run with nothing to do starts no JVM.
    """
    started = datetime.now(UTC)
    known = Known(config, latest_receipts(config))
    asked = {day: _receipt_stub(known, step, day) for day in days}
    pending = [day for day in days if rebuild or not _is_done(known, asked[day])]
    receipts: list[Receipt] = []
    _check_inputs(step, {day: asked[day] for day in pending})
    if pending:
        build = import_module(f"jobs.{step.name}").build
        made: dict[date, Receipt] = build(spark(), config, pending)
        ended = datetime.now(UTC)
        for day in pending:
            facts = asked[day]
            receipts.append(
                replace(
                    made[day],
                    fingerprint=facts.fingerprint,
                    inputs=facts.inputs,
                    config_hash=facts.config_hash,
                    started_at=started,
                    ended_at=ended,
                )
            )
        receipts = write_receipts(config, receipts)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return StepOutcome(step.name, pending, [d for d in days if d not in pending], seconds, receipts)


def _check_inputs(step: Step, asked: dict[date, Receipt]) -> None:
    """Raise InputError (exit 4) where a step before has not built the day."""
    for day, receipt in asked.items():
        absent = [
            name for name, value in receipt.inputs.items() if value == "absent" and not name.startswith("landing/")
        ]
        if absent:
            raise InputError(
                f"{step.name} {day}",
                found=f"no {', no '.join(absent)}",
                wanted="the steps before it done for the day",
                remedy=f"headrace run --ds {day} with the same configuration",
            )


def _receipt_stub(known: Known, step: Step, day: date) -> Receipt:
    inputs = step.inputs(known, day)
    config_hash = known.config.digest_of(*step.config_parts)
    text = json.dumps([step.name, str(day), inputs, config_hash, __version__], sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Receipt(step.name, day, fingerprint=fingerprint, inputs=inputs, config_hash=config_hash)


def _is_done(known: Known, asked: Receipt) -> bool:
    before = known.receipts.get((asked.job, asked.ds))
    return before is not None and before.status in ("done", "published") and before.fingerprint == asked.fingerprint
