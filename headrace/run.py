"""Drive the chain: a progress line per step, a summary table at the end."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from headrace.chain import Plan, StepOutcome, plan_run, run_step
from headrace.config import Config, feature_columns
from headrace.days import day_range
from headrace.delta import is_table, read_days
from headrace.freshness import grouped
from headrace.receipts import WITHDRAWN, Receipt, latest_receipts
from headrace.steps import STEPS, step_named

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["publishable", "run_chain", "run_one"]


def _session(config: Config) -> Callable[[], "SparkSession"]:
    def start() -> "SparkSession":
        from headrace.session import spark_session

        return spark_session(config.spark)

    return start


def run_chain(
    config: Config, *, ds: date, days: int, rebuild: bool, console: Console, accept: str | None = None
) -> list[StepOutcome]:
    """Build `days` days that end with `ds`, ingest to publish, and say what was done and what was not needed."""
    plan = plan_run(config, ds=ds, days=days)
    outcomes: list[StepOutcome] = []
    try:
        _run_steps(config, plan, outcomes, rebuild=rebuild, accept=accept, console=console)
    finally:
        if outcomes:  # what was reached, also where a gate refused a day
            console.print(summary(config, plan.days, outcomes))
    return outcomes


def _run_steps(
    config: Config, plan: Plan, outcomes: list[StepOutcome], *, rebuild: bool, accept: str | None, console: Console
) -> None:
    """Every step in turn; what each did is added to `outcomes`."""
    for step in STEPS:
        chosen = plan.per_step[step.name]
        if step.name == "publish":
            chosen = publishable(config, chosen, console=console)
        again = plan.days if rebuild else []
        outcomes.append(_show_step(config, step.name, chosen, rebuild=again, accept=accept, console=console))


def publishable(config: Config, days: list[date], *, console: Console) -> list[date]:
    """Days that `run` may publish: none of a provisional run, and none that a person took back."""
    if config.labels.provisional:
        console.print("[bold]publish  [/] [yellow]left out: labels are provisional[/]; run again without --provisional")
        return []
    latest = latest_receipts(config)
    withdrawn = [d for d in days if ("publish", d) in latest and latest["publish", d].status == WITHDRAWN]
    for day in withdrawn:
        reason = latest["publish", day].notes.get("reason", "")
        console.print(
            f"publish   {day} left out: unpublished ({reason}); headrace publish --ds {day} brings it back",
            markup=False,
        )
    return [day for day in days if day not in withdrawn]


def run_one(
    config: Config, name: str, *, ds: date, days: int, rebuild: bool, console: Console, accept: str | None = None
) -> StepOutcome:
    """Build one step for `days` days that end with `ds`."""
    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    return _show_step(config, name, chosen, rebuild=chosen if rebuild else [], accept=accept, console=console)


def _show_step(
    config: Config, name: str, days: list[date], *, rebuild: list[date], accept: str | None, console: Console
) -> StepOutcome:
    step = step_named(name)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    if not console.is_terminal:
        console.print(f"{name:<9} {_span(days)} ...")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(f"{name}: {_span(days)}")
        outcome = run_step(_session(config), config, step, days=days, rebuild=rebuild, accept=accept)
    rows = sum(r.rows_out for r in outcome.receipts)
    built = f"built {_span(outcome.built)}: {rows:,} rows out, {outcome.seconds:.1f} s" if outcome.built else ""
    refused = sum(r.rows_quarantined for r in outcome.receipts)
    if refused:
        built += f"; [bold yellow]{refused:,} rows quarantined[/] ({_top_reasons(outcome.receipts)})"
    idle = sorted({m for r in outcome.receipts for m in r.notes.get("metrics_without_events", "").split()})
    if idle:
        built += f"; [bold yellow]metrics without events[/] on some of these days: {', '.join(idle)}"
    lacking = outcome.receipts[0].notes.get("days_lacking", "") if outcome.receipts else ""
    if lacking:
        first = lacking.split()[0]
        built += f"; [bold yellow]{len(lacking.split())} earlier day(s) lack snapshots[/], {first} the first: keys without news since are missing until `headrace stats` has built them"
    skipped = f"skipped {_span(outcome.skipped)}: same inputs, config and code" if outcome.skipped else ""
    console.print(f"[bold]{name:<9}[/] {'; '.join(filter(None, (built, skipped))) or 'nothing to do'}")
    for reason, reached in grouped({day: why for day, why in outcome.reasons.items() if why != "not built"}).items():
        console.print(f"          {_span(reached)} because: {reason}", markup=False, soft_wrap=True)
    return outcome


def _top_reasons(receipts: list[Receipt]) -> str:
    """The reasons that refused most rows, from the receipts' notes."""
    counts: Counter[str] = Counter()
    for receipt in receipts:
        for name, value in receipt.notes.items():
            if ".quarantined_" in name:
                counts[name.replace(".quarantined_", ": ")] += int(value)
    return ", ".join(f"{name} {rows:,}" for name, rows in counts.most_common(3))


def _span(days: list[date]) -> str:
    if not days:
        return "no day"
    return str(days[0]) if len(days) == 1 else f"{len(days)} days {min(days)} .. {max(days)}"


def summary(config: Config, days: list[date], outcomes: list[StepOutcome]) -> Table:
    """One line a day: rows in, kept, positive rates, sampling rates, features, coverage, seconds."""
    latest = latest_receipts(config)
    coverage = _coverage(config, days)
    rates = _rates(config, days)
    table = Table(title="Published days", title_justify="left", header_style="bold", box=SIMPLE)
    for name in ("day", "seen", "kept", "positives", "neg. rate", "features", "coverage", "status"):
        table.add_column(
            name, justify="left" if name in ("day", "positives", "status") else "right", no_wrap=name == "day"
        )
    features = len(feature_columns(config))
    for day in days:
        seen, kept = _rows(latest, "labels", day), _rows(latest, "sample", day)
        counts = {a: rates.get((day, f"label_{a}", "positives"), 0) for a in config.labels.windows}
        positives = " ".join(f"{a} {_percent(n, seen)}" for a, n in counts.items() if n) or "none"
        negative = rates.get((day, "all", "negative rate"))
        table.add_row(
            str(day),
            f"{seen:,}",
            f"{kept:,}",
            positives,
            "-" if negative is None else f"{negative:.4f}",
            str(features),
            f"{coverage[day]:.1%}" if day in coverage else "-",
            _status(latest, day),
        )
    total = sum(outcome.seconds for outcome in outcomes)
    provisional = [str(d) for d in days if "provisional" in getattr(latest.get(("labels", d)), "notes", {})]
    note = f"\nprovisional labels: {', '.join(provisional)}" if provisional else ""
    table.caption = f"{total:.1f} s in all: " + ", ".join(f"{o.step} {o.seconds:.1f}" for o in outcomes) + note
    return table


def _rows(latest: dict[tuple[str, date], Receipt], job: str, day: date) -> int:
    receipt = latest.get((job, day))
    return receipt.rows_out if receipt else 0


def _status(latest: dict[tuple[str, date], Receipt], day: date) -> str:
    receipt = latest.get(("publish", day))
    return f"{receipt.status} r{receipt.revision}" if receipt else "not published"


def _percent(part: float, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _rates(config: Config, days: list[date]) -> dict[tuple[date, str, str], float]:
    """Positives per label over all strata, and the realised rate of negatives; a handful of rows a day."""
    found: dict[tuple[date, str, str], float] = {}
    negatives: dict[date, list[int]] = {}
    for row in _rows_of(config, "sampling_rates", days):
        key = (row["ds"], row["label"], "positives")
        found[key] = found.get(key, 0) + row["seen"]
        sign = {"all": 1, "positive": -1}.get(row["label"], 0)
        sums = negatives.setdefault(row["ds"], [0, 0])
        sums[0] += sign * row["seen"]
        sums[1] += sign * row["kept"]
    rates = {(day, "all", "negative rate"): kept / seen for day, (seen, kept) in negatives.items() if seen}
    return found | rates


def _coverage(config: Config, days: list[date]) -> dict[date, float]:
    """Covered share of all cells of the traffic."""
    covered: dict[date, list[float]] = {}
    for row in _rows_of(config, "coverage", days):
        if row["slice"] == "all":
            sums = covered.setdefault(row["ds"], [0.0, 0.0])
            sums[0] += row["weight_real"] + row["weight_true_zero"]
            sums[1] += row["weight"]
    return {day: part / whole for day, (part, whole) in covered.items() if whole}


def _rows_of(config: Config, name: str, days: list[date]) -> list[dict]:
    uri = f"{config.root}/{name}"
    return read_days(uri, days=days).to_pylist() if is_table(uri) else []
