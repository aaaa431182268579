"""Drive the chain: a line per step and per long stage, tables of what came of it and what it cost at the end."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from headrace.chain import Plan, StepOutcome, plan_run, run_step, scope_days
from headrace.config import Config
from headrace.freshness import grouped
from headrace.joblog import JobLog, open_log, span_of
from headrace.progress import StageNews
from headrace.receipt import WITHDRAWN, Receipt
from headrace.receipts import latest_receipts
from headrace.steps import SIDE_STEPS, STEPS, Step, step_named
from headrace.summary import cost_table, costs_of, day_facts, summary

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["publishable", "run_chain", "run_one"]


def _session(config: Config, app: str) -> Callable[[], "SparkSession"]:
    def start() -> "SparkSession":
        from headrace.session import spark_session

        return spark_session(config.spark, app=app)

    return start


def run_chain(
    config: Config,
    *,
    ds: date,
    days: int,
    rebuild: bool,
    console: Console,
    accept: str | None = None,
    side: bool = False,
) -> list[StepOutcome]:
    """Build `days` days that end with `ds`, ingest to publish, and say what was done and what was not needed.

    With `side`, the steps beside the chain (state, stats) are built too, before what it publishes.
    """
    log = open_log(console)
    plan = plan_run(config, ds=ds, days=days)
    outcomes: list[StepOutcome] = []
    try:
        for step in _in_order(side=side):
            outcomes.append(_planned(config, step, plan, rebuild=rebuild, accept=accept, log=log))
    finally:
        if outcomes:  # what was reached, also where a gate refused a day
            _sum_up(config, plan.days, outcomes, log=log)
    return outcomes


def _in_order(*, side: bool) -> list[Step]:
    """The chain, with the side steps right after what they read."""
    steps = list(STEPS)
    for step in SIDE_STEPS if side else ():
        steps.insert(1 + max(n for n, before in enumerate(steps) if before.name in step.after), step)
    return steps


def _planned(config: Config, step: Step, plan: Plan, *, rebuild: bool, accept: str | None, log: JobLog) -> StepOutcome:
    chosen = plan.per_step.get(step.name, plan.days)
    if step.name == "publish":
        chosen = publishable(config, chosen, log=log)
    return _told(config, step, chosen, rebuild=plan.days if rebuild else [], accept=accept, log=log)


def _sum_up(config: Config, days: Sequence[date], outcomes: Sequence[StepOutcome], *, log: JobLog) -> None:
    _tell_costs(outcomes, log=log)
    facts = day_facts(config, days)
    plain = ", ".join(f"{day['ds']} {day['status']}" for day in facts)
    log.tell("summary", summary(config, facts, outcomes), plain=plain, **span_of(days), each=facts)


def _tell_costs(outcomes: Sequence[StepOutcome], *, log: JobLog) -> None:
    costs = costs_of(outcomes)
    if costs:
        seconds = sum(outcome.seconds for outcome in outcomes)
        log.tell("costs", cost_table(costs), plain=f"{seconds:.1f} s in all", steps=costs)


def publishable(config: Config, days: Sequence[date], *, log: JobLog) -> list[date]:
    """Days that `run` may publish: none of a provisional run, and none that a person took back."""
    if config.labels.provisional:
        log.tell(
            "left_out",
            "[bold]publish  [/] [yellow]left out: labels are provisional[/]; run again without --provisional",
            plain="publish left out: labels are provisional",
            job="publish",
        )
        return []
    latest = latest_receipts(config)
    withdrawn = [d for d in days if ("publish", d) in latest and latest["publish", d].status == WITHDRAWN]
    for day in withdrawn:
        reason = latest["publish", day].notes.get("reason", "")
        text = f"publish   {day} left out: unpublished ({reason}); headrace publish --ds {day} brings it back"
        log.tell("left_out", escape(text), plain=text, job="publish", ds=day)
    return [day for day in days if day not in withdrawn]


def run_one(
    config: Config,
    name: str,
    *,
    ds: date,
    days: int,
    rebuild: bool,
    console: Console,
    accept: str | None = None,
    scope: str = "day",
    group: str | None = None,
) -> StepOutcome:
    """Build one step for `days` days that end with `ds`, or for the days of a scope; of one group alone if asked."""
    step, log = step_named(name), open_log(console)
    chosen = scope_days(config, step, ds=ds, days=days, scope=scope)
    narrow = config.for_group(group) if group is not None else config
    outcome = _told(narrow, step, chosen, rebuild=chosen if rebuild else [], accept=accept, log=log)
    _tell_costs([outcome], log=log)
    return outcome


def _told(
    config: Config, step: Step, days: list[date], *, rebuild: Sequence[date], accept: str | None, log: JobLog
) -> StepOutcome:
    """Build a step and say how it goes."""
    job = step.name if config.group is None else f"{step.name} {config.group}"
    facts: dict[str, Any] = {"job": step.name, "group": config.group, **span_of(days)}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    live = log.form == "text" and log.console.is_terminal
    if not live:
        log.tell("step_started", f"{job:<9} {_span(days)} ...", **facts)
    with Progress(*columns, console=log.console, transient=True, disable=not live) as progress:
        task = progress.add_task(f"{job}: {_span(days)}")

        def stage(news: StageNews) -> None:
            said = f"stage {news.stage}: {news.done} of {news.tasks} tasks, {news.seconds:.0f} s"
            said += f", {news.failed} failed" if news.failed else ""
            if live:
                progress.update(task, description=f"{job}: {_span(days)}, {said}")
            else:
                log.tell("stage", f"{job:<9} {said}", **facts, **news._asdict())

        app = f"headrace {job} {max(days)}" if days else f"headrace {job}"
        outcome = run_step(_session(config, app), config, step, days=days, rebuild=rebuild, accept=accept, tell=stage)
    _tell_outcome(job, outcome, log=log, facts=facts)
    return outcome


def _tell_outcome(job: str, outcome: StepOutcome, *, log: JobLog, facts: dict[str, Any]) -> None:
    built = [r for r in outcome.receipts if r.ds not in outcome.joined]
    said = _built(outcome, built)
    joined = f"joined {_span(outcome.joined)}: every group was built apart" if outcome.joined else ""
    skipped = f"skipped {_span(outcome.skipped)}: same inputs, config and code" if outcome.skipped else ""
    text = "; ".join(filter(None, (said, joined, skipped))) or "nothing to do"
    numbers: dict[str, Any] = {
        "built": outcome.built,
        "joined": outcome.joined,
        "skipped": outcome.skipped,
        "seconds": round(outcome.seconds, 3),
        "rows_in": sum(r.rows_in for r in built),
        "rows_out": sum(r.rows_out for r in built),
        "rows_quarantined": sum(r.rows_quarantined for r in built),
    }
    log.tell("step_done", f"[bold]{job:<9}[/] {text}", plain=f"{job} done", **facts, **numbers)
    for reason, reached in grouped({day: why for day, why in outcome.reasons.items() if why != "not built"}).items():
        text = f"          {_span(reached)} because: {reason}"
        log.tell("reason", escape(text), plain=text.strip(), **facts)


def _built(outcome: StepOutcome, receipts: Sequence[Receipt]) -> str:
    """What was built, and what of it a person should look at."""
    if not outcome.built:
        return ""
    rows, refused = sum(r.rows_out for r in receipts), sum(r.rows_quarantined for r in receipts)
    said = [f"built {_span(outcome.built)}: {rows:,} rows out, {outcome.seconds:.1f} s"]
    if refused:
        said.append(f"[bold yellow]{refused:,} rows quarantined[/] ({_top_reasons(receipts)})")
    idle = sorted({m for r in receipts for m in r.notes.get("metrics_without_events", "").split()})
    if idle:
        said.append(f"[bold yellow]metrics without events[/] on some of these days: {', '.join(idle)}")
    lacking = receipts[0].notes.get("days_lacking", "").split()
    if lacking:
        said.append(
            f"[bold yellow]{len(lacking)} earlier day(s) lack snapshots[/], {lacking[0]} the first: "
            "keys without news since are missing until `headrace stats` has built them"
        )
    return "; ".join(said)


def _top_reasons(receipts: Sequence[Receipt]) -> str:
    """The reasons that refused most rows, from the receipts' notes."""
    counts: Counter[str] = Counter()
    for receipt in receipts:
        for name, value in receipt.notes.items():
            if ".quarantined_" in name:
                counts[name.replace(".quarantined_", ": ")] += int(value)
    return ", ".join(f"{name} {rows:,}" for name, rows in counts.most_common(3))


def _span(days: Sequence[date]) -> str:
    if not days:
        return "no day"
    return str(days[0]) if len(days) == 1 else f"{len(days)} days {min(days)} .. {max(days)}"
