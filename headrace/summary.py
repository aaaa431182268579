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

__all__ = ["cost_table", "costs_of", "day_facts", "summary"]

_MIB = 1 << 20


def day_facts(config: Config, days: Sequence[date]) -> list[dict[str, Any]]:
    """One mapping a day: rows seen and kept, positives by action, realised rate of negatives, coverage, and its status."""
    latest, coverage, rates = latest_receipts(config), _coverage(config, days), _rates(config, days)
    found = []
    for day in days:
        positives = {a: rates.get((day, f"label_{a}", "positives"), 0) for a in config.labels.windows}
        labels = latest.get(("labels", day))
        found.append(
            {
                "ds": day,
                "seen": _rows(latest, "labels", day),
                "kept": _rows(latest, "sample", day),
                "positives": {action: n for action, n in positives.items() if n},
                "negative_rate": rates.get((day, "all", "negative rate")),
                "coverage": coverage.get(day),
                "status": _status(latest, day),
                "provisional": labels is not None and "provisional" in labels.notes,
            }
        )
    return found


def summary(config: Config, facts: Sequence[Mapping[str, Any]], outcomes: Sequence[StepOutcome]) -> Table:
    """A line for each of `day_facts`, and below them the seconds of each step."""
    table = Table(title="Published days", title_justify="left", header_style="bold", box=SIMPLE)
    for name in ("day", "seen", "kept", "positives", "neg. rate", "features", "coverage", "status"):
        table.add_column(
            name, justify="left" if name in ("day", "positives", "status") else "right", no_wrap=name == "day"
        )
    features = str(len(feature_columns(config)))
    for day in facts:
        positives = " ".join(f"{action} {_percent(n, day['seen'])}" for action, n in day["positives"].items())
        negative = "-" if day["negative_rate"] is None else f"{day['negative_rate']:.4f}"
        covered = "-" if day["coverage"] is None else f"{day['coverage']:.1%}"
        rows = f"{day['seen']:,}", f"{day['kept']:,}"
        table.add_row(str(day["ds"]), *rows, positives or "none", negative, features, covered, day["status"])
    provisional = [str(day["ds"]) for day in facts if day["provisional"]]
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


def _rates(config: Config, days: Sequence[date]) -> dict[tuple[date, str, str], float]:
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


def _coverage(config: Config, days: Sequence[date]) -> dict[date, float]:
    """Covered share of all cells of the traffic."""
    covered: dict[date, list[float]] = {}
    for row in _rows_of(config, "coverage", days):
        if row["slice"] == "all":
            sums = covered.setdefault(row["ds"], [0.0, 0.0])
            sums[0] += row["weight_real"] + row["weight_true_zero"]
            sums[1] += row["weight"]
    return {day: part / whole for day, (part, whole) in covered.items() if whole}


def _rows_of(config: Config, name: str, days: Sequence[date]) -> list[dict]:
    uri = f"{config.root}/{name}"
    return read_days(uri, days=days).to_pylist() if is_table(uri) else []


def costs_of(outcomes: Sequence[StepOutcome]) -> list[dict[str, Any]]:
    """One mapping per step that built something: rows, and its receipts' `cost` with the bytes of all its days."""
    found = []
    for outcome in outcomes:
        counted = [r for r in outcome.receipts if "cost" in r.notes]
        costs = [json.loads(r.notes["cost"]) for r in counted]
        if costs:
            rows = {name: sum(getattr(r, name) for r in counted) for name in ("rows_in", "rows_out")}
            size = {"bytes_out": sum(cost["bytes_out"] for cost in costs)}
            found.append({"step": outcome.step, "seconds": round(outcome.seconds, 1), **costs[0], **rows, **size})
    return found


def cost_table(costs: Sequence[Mapping[str, Any]]) -> Table:
    """Seconds, rows, bytes, spill, skew and Python memory of each step; a dash where Spark was not asked."""
    table = Table(title="What it cost", title_justify="left", header_style="bold", box=SIMPLE)
    table.add_column("step")
    counts, sizes_mib = ("seconds", "rows in", "rows out"), ("MiB out", "MiB shuffled", "MiB spilled")
    heads = (*counts, *sizes_mib, "skew", "Python MiB", "tasks failed")
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
