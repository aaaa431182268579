"""What a run comes to: a line per published day, and a line per step of what it cost."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from headrace.chain import StepOutcome
from headrace.config import Config, feature_columns
from headrace.delta import is_table, read_days
from headrace.receipt import Receipt
from headrace.receipts import latest_receipts

__all__ = ["cost_table", "costs_of", "summary"]

_MIB = 1 << 20


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
    provisional = [str(d) for d in days if "provisional" in getattr(latest.get(("labels", d)), "notes", {})]
    note = f"\nprovisional labels: {', '.join(provisional)}" if provisional else ""
    total = sum(outcome.seconds for outcome in outcomes)
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


def costs_of(outcomes: Sequence[StepOutcome]) -> list[dict[str, Any]]:
    """One mapping per step that built something: rows, and its receipts' `cost` with the bytes of all its days."""
    found = []
    for outcome in outcomes:
        counted = [r for r in outcome.receipts if "cost" in r.notes]
        costs = [json.loads(r.notes["cost"]) for r in counted]
        if costs:
            rows = {
                "rows_in": sum(r.rows_in for r in counted),
                "rows_out": sum(r.rows_out for r in counted),
            }
            size = {"bytes_out": sum(cost["bytes_out"] for cost in costs)}
            found.append({"step": outcome.step, "seconds": round(outcome.seconds, 1), **costs[0], **rows, **size})
    return found


def cost_table(costs: Sequence[Mapping[str, Any]]) -> Table:
    """Seconds, rows, bytes, spill, skew and Python memory of each step; a dash where Spark was not asked."""
    table = Table(title="What it cost", title_justify="left", header_style="bold", box=SIMPLE)
    table.add_column("step")
    heads = (
        "seconds",
        "rows in",
        "rows out",
        "MiB out",
        "MiB shuffled",
        "MiB spilled",
        "skew",
        "Python MiB",
        "tasks failed",
    )
    for head in heads:
        table.add_column(head, justify="right")
    for cost in costs:
        sizes = [_mib(cost.get(name)) for name in ("bytes_out", "shuffle_bytes", "spill_bytes")]
        others = [str(cost.get("skew", "-")), _mib(cost.get("python_peak_bytes")), str(cost.get("failed_tasks", "-"))]
        rows = f"{cost['rows_in']:,}", f"{cost['rows_out']:,}"
        table.add_row(cost["step"], f"{cost['seconds']:.1f}", *rows, *sizes, *others)
    return table


def _mib(size: float | None) -> str:
    return "-" if size is None else f"{size / _MIB:,.1f}"
