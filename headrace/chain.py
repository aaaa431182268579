"""The daily chain, defined once: its steps, what each reads, and which days need building.

`headrace run`, the jobs under spark-submit and the DAG all read STEPS from here.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.checks import check_built, check_maturity
from headrace.config import Config
from headrace.days import day_range
from headrace.errors import InputError
from headrace.inputs import INPUTS, Known
from headrace.receipts import Receipt, begun, latest_receipts, write_receipts
from schemas.landing import landed_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [
    "SIDE_STEPS",
    "STEPS",
    "Plan",
    "Step",
    "StepOutcome",
    "inputs_of",
    "plan_run",
    "run_step",
    "step_named",
    "up_to_date",
]


@dataclass(frozen=True)
class Step:
    """One job of the chain.

    Attributes
    ----------
    name : str
        Job, command and module under jobs/.
    """

    name: str

    def inputs(self, known: Known, day: date) -> dict[str, str]:
        """{input: content hash} of a day."""
        return INPUTS[self.name](known, day)


STEPS = tuple(Step(n) for n in ("ingest", "tiles", "labels", "sample", "features", "coverage", "publish"))
SIDE_STEPS = (Step("stats"), Step("state"))  # beside the chain: no training set needs them


def step_named(name: str) -> Step:
    """A step of the chain, or beside it."""
    return next(step for step in (*STEPS, *SIDE_STEPS) if step.name == name)


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
    spark: Callable[[], "SparkSession"],
    config: Config,
    step: Step,
    *,
    days: Sequence[date],
    rebuild: Collection[date] = (),
) -> StepOutcome:
    """Build the days whose receipt does not already say done with the same inputs, config and code, and those to `rebuild`.

    `spark` is called only if there is something to build, so that a run with nothing to do starts no JVM. From the
    first write on a receipt `started` stands until the job is done: what a killed job left is never taken for done.
    """
    started = datetime.now(UTC)
    known = Known(config, latest_receipts(config))
    asked = {day: _receipt_stub(known, step, day) for day in days}
    pending = [day for day in days if day in rebuild or not _is_done(known, asked[day])]
    if pending:
        for job in sorted({*known.missing, *known.stale}):
            missing, stale = (sorted(found.get(job, ())) for found in (known.missing, known.stale))
            check_built(f"{step.name} {pending[-1]}", job, missing=missing, stale=stale)
        session = spark()
        with begun(config, [asked[day] for day in pending]):
            made: dict[date, Receipt] = import_module(f"jobs.{step.name}").build(session, config, pending)
        receipts = [_signed(made[day], asked[day], started=started) for day in pending]
        receipts = write_receipts(config, receipts)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return StepOutcome(step.name, pending, [d for d in days if d not in pending], seconds, receipts if pending else [])


def inputs_of(config: Config, name: str, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """Inputs of a step's days as they are now, with their content hashes."""
    known, step = Known(config, latest_receipts(config)), step_named(name)
    return {day: step.inputs(known, day) for day in days}


def up_to_date(config: Config, name: str) -> set[date]:
    """Days of a step whose receipt says done with the inputs, config and code of now."""
    known, step = Known(config, latest_receipts(config)), step_named(name)
    days = [day for job, day in known.receipts if job == name]
    return {day for day in days if _is_done(known, _receipt_stub(known, step, day))}


def _signed(made: Receipt, asked: Receipt, *, started: datetime) -> Receipt:
    facts = {"fingerprint": asked.fingerprint, "inputs": asked.inputs, "config_hash": asked.config_hash}
    return replace(made, **facts, started_at=started, ended_at=datetime.now(UTC))  # type: ignore[arg-type]


def _receipt_stub(known: Known, step: Step, day: date) -> Receipt:
    inputs = step.inputs(known, day)
    config_hash = known.hashes[step.name]
    text = json.dumps([step.name, str(day), inputs, config_hash, __version__], sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Receipt(step.name, day, fingerprint=fingerprint, inputs=inputs, config_hash=config_hash)


def _is_done(known: Known, asked: Receipt) -> bool:
    before = known.receipts.get((asked.job, asked.ds))
    return before is not None and before.status in ("done", "published") and before.fingerprint == asked.fingerprint
