"""The daily chain at work: which days each step has to look at, which need building, and building them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from headrace.checks import check_built, check_maturity
from headrace.commits import conflict
from headrace.config import Config
from headrace.costs import spark_costs, stages_of, with_costs
from headrace.days import day_range
from headrace.errors import ConfigError, GateError, InputError
from headrace.freshness import asked_receipt, done, why_not_done
from headrace.grouped import done_by_whole, joined_receipts
from headrace.inputs import INPUTS, Known
from headrace.joblog import run_id
from headrace.progress import StageNews, watched_stages
from headrace.receipts import REFUSED, Receipt, Run, begun, latest_receipts, write_receipts
from headrace.steps import STEPS, Step
from schemas.landing import landed_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [
    "Plan",
    "StepOutcome",
    "inputs_of",
    "plan_run",
    "run_step",
    "scope_days",
    "up_to_date",
]


def _history(config: Config, *, ds: date) -> tuple[date, list[date]]:
    """First day of history, and the days that landed; InputError where none has, or where `ds` lies before history."""
    landed = landed_days(config.landing, "impressions")
    if not landed:
        raise InputError(
            f"{config.landing}/impressions",
            found="no folder ds=YYYY-MM-DD",
            wanted="landing files, one folder a day",
            remedy="check `landing` in the config, or make a world with `headrace simulate`",
        )
    start = config.start_ds or landed[0]
    if ds < start:
        raise InputError(
            "--ds and --days",
            found=f"a first day {ds}",
            wanted=f"days from {start} on, where history begins",
            remedy="ask for fewer days or a later one",
        )
    return start, landed


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
    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    start, landed = _history(config, ds=chosen[0])
    provisional = config.labels.provisional
    if not provisional:
        check_maturity(config, ds=ds, landed=landed)
    elif ds > max(landed):
        remedy = "run it once the day has landed, or ask for an earlier --ds"
        raise InputError(f"--ds {ds}", found=f"landing until {max(landed)}", wanted="a day that landed", remedy=remedy)
    last = max(landed) if provisional else date.max
    history = list(day_range(start, min(ds + timedelta(days=config.labels.maturity_days), last)))
    tiled = list(day_range(start, min(ds + timedelta(days=1), last)))
    per_step = {step.name: chosen for step in STEPS} | {"ingest": history, "tiles": tiled}
    return Plan(chosen, per_step)


def scope_days(config: Config, step: Step, *, ds: date, days: int, scope: str) -> list[date]:
    """Days that one step has to look at.

    Parameters
    ----------
    scope : "day", "history" or "publish"
        The `days` that end with `ds`; every day from the start of history to `ds`; or those that publishing `ds` needs.

    Raises
    ------
    ConfigError
        A number of days is asked for beside "history", which has them all.
    InputError
        Nothing has landed, `ds` lies before history, or (publish) its labels are not mature.
    """
    if scope == "history" and days != 1:
        remedy = "leave out --days, or leave out --scope history"
        raise ConfigError("--days", found=f"{days} beside --scope history", wanted="one of them", remedy=remedy)
    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    if scope == "day":
        return chosen
    if scope == "publish":
        return plan_run(config, ds=ds, days=days).per_step.get(step.name, chosen)
    return list(day_range(_history(config, ds=ds)[0], ds))


@dataclass(frozen=True)
class StepOutcome:
    """What one step did, and why it built each day; `joined` are days whose groups had been built apart."""

    step: str
    built: list[date]
    skipped: list[date]
    seconds: float
    receipts: list[Receipt]
    reasons: dict[date, str] = field(default_factory=dict)
    joined: list[date] = field(default_factory=list)


def run_step(
    spark: Callable[[], "SparkSession"],
    config: Config,
    step: Step,
    *,
    days: Sequence[date],
    rebuild: Collection[date] = (),
    accept: str | None = None,
    tell: Callable[[StageNews], None] | None = None,
) -> StepOutcome:
    """Build the days whose receipt does not already say done with the same inputs, config and code, and those to `rebuild`.

    `spark` is called only if there is something to build, so that a run with nothing to do starts no JVM. From the
    first write on a receipt `started` stands until the job is done: what a killed job left is never taken for done.
    With a reason to `accept` them, days that a gate refuses are done all the same; the reason is on their receipts.
    `tell` hears of each stage that takes long enough to be looked at.
    """
    started = datetime.now(UTC)
    known = Known(config, latest_receipts(config))
    asked = {day: asked_receipt(known, step.name, day) for day in days}
    wanting = [day for day in days if day in rebuild or not done(known, asked[day])]
    standing, joined = _by_groups(config, step, [day for day in wanting if day not in rebuild])
    pending = [day for day in wanting if day not in standing and day not in joined]
    if pending or joined:
        for job in sorted({*known.missing, *known.stale}):
            missing, stale = (sorted(found.get(job, ())) for found in (known.missing, known.stale))
            check_built(f"{step.name} {max(pending or joined)}", job, missing=missing, stale=stale)
    receipts = _join(config, step, [asked[day] for day in joined], started) if joined else []
    if pending:
        build = _builder(step, spark() if step.spark else None, config, accept=accept, tell=tell)
        with begun(config, [asked[day] for day in pending]) as run, _refusals(run, asked, started):
            made = build(pending)
            run.check_newest()
        receipts += write_receipts(config, [_signed(made[day], asked[day], run, started) for day in pending])
    seconds = (datetime.now(UTC) - started).total_seconds()
    reasons = {day: why_not_done(known, asked[day]) or "asked for" for day in pending}
    skipped = [day for day in days if day not in pending and day not in joined]
    return StepOutcome(step.name, pending, skipped, seconds, receipts, reasons, joined)


def _builder(
    step: Step,
    session: "SparkSession | None",
    config: Config,
    *,
    accept: str | None,
    tell: Callable[[StageNews], None] | None,
) -> Callable[[list[date]], dict[date, Receipt]]:
    """The job's `build`, its stages told of, with what it cost on every receipt."""
    job = import_module(f"jobs.{step.name}").build
    job = partial(job, accept=accept) if step.gated else job

    def build(days: list[date]) -> dict[date, Receipt]:
        started = datetime.now(UTC)

        def counted(made: Mapping[date, Receipt]) -> dict[date, Receipt]:
            return with_costs(config, made, spark_costs(stages_of(session, since=started)), step=step)

        try:
            with watched_stages(session if tell else None, tell or (lambda _: None)):
                made = job(session, config, days)
        except GateError as error:
            error.made = counted(error.made)
            raise
        return counted(made)

    return build


def _by_groups(config: Config, step: Step, days: Sequence[date]) -> tuple[set[date], list[date]]:
    """Days that stand for one group because the whole step does, and those all of whose groups stand."""
    if not step.grouped or not days:
        return set(), []
    if config.group is not None:
        return done_by_whole(config, step.name, days), []
    return set(), list(joined_receipts(config, step.name, days))


def _join(config: Config, step: Step, asked: Sequence[Receipt], started: datetime) -> list[Receipt]:
    """Write the step's receipts from those of its groups, which are looked at again once this run has STARTED."""
    with begun(config, asked) as run:
        run.begin()
        own = {(receipt.ds, receipt.revision) for receipt in run.receipts}
        made = joined_receipts(config, step.name, [receipt.ds for receipt in asked], own=own)
        if len(made) < len(asked):
            raise conflict(step.name, [receipt.ds for receipt in asked])
        run.check_newest()
        return write_receipts(config, [_signed(made[one.ds], one, run, started) for one in asked])


@contextmanager
def _refusals(run: Run, asked: Mapping[date, Receipt], started: datetime) -> Iterator[None]:
    """Put down on receipts which days a gate refused, and why; other days of the same build are done."""
    try:
        yield
    except GateError as error:
        refused = [receipt for receipt in run.receipts if receipt.ds not in error.made]
        notes = {r.ds: {"run_id": run_id(), "refused": str(error), **error.notes.get(r.ds, {})} for r in refused}
        done = [_signed(made, asked[day], run, started) for day, made in error.made.items()]
        write_receipts(run.config, [*done, *(replace(r, status=REFUSED, notes=notes[r.ds]) for r in refused)])
        raise


def inputs_of(config: Config, name: str, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """Inputs of a step's days as they are now, with their content hashes."""
    known = Known(config, latest_receipts(config))
    return {day: INPUTS[name](known, day) for day in days}


def up_to_date(config: Config, name: str) -> set[date]:
    """Days of a step whose receipt says done with the inputs, config and code of now."""
    known = Known(config, latest_receipts(config))
    days = [day for job, day in known.receipts if job == name]
    own = {day for day in days if done(known, asked_receipt(known, name, day))}
    return own | done_by_whole(config, name, days)


def _signed(made: Receipt, asked: Receipt, run: Run, started: datetime) -> Receipt:
    facts = {
        "revision": run.revision_of(asked.ds),
        "fingerprint": asked.fingerprint,
        "inputs": asked.inputs,
        "config_hash": asked.config_hash,
        "notes": {**made.notes, "run_id": run_id()},
    }
    return replace(made, **facts, started_at=started, ended_at=datetime.now(UTC))  # type: ignore[arg-type]
