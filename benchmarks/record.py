"""What a benchmark found, as JSON and as a table: versions, machine, contenders, ratios, targets, checks."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Asked

__all__ = ["Target", "finish", "machine", "ratios", "record", "targets_met", "versions"]

_PACKAGES = ("pyspark", "delta-spark", "duckdb", "pyarrow", "numpy", "pandas", "polars")
_PAGE_WIDTH = 120  # of a table that goes to a file


@dataclass(frozen=True)
class Target:
    """A value that must stay at or below a limit; `at_least` turns it round."""

    name: str
    limit: float
    at_least: bool = False


def ratios(contenders: dict[str, dict[str, Any]], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Median inner seconds of one over another, named "a / b", for the pairs of which both ran."""
    both = [(a, b) for a, b in pairs if a in contenders and b in contenders]
    return {f"{a} / {b}": round(contenders[a]["median"] / contenders[b]["median"], 3) for a, b in both}


def targets_met(values: dict[str, float], targets: Sequence[Target]) -> dict[str, dict[str, Any]]:
    """Each target whose value was measured: value, limit, met."""
    return {
        t.name: {
            "value": values[t.name],
            "limit": t.limit,
            "met": values[t.name] >= t.limit if t.at_least else values[t.name] <= t.limit,
        }
        for t in targets
        if t.name in values
    }


def versions() -> dict[str, str]:
    """Python and the packages that matter; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Cores that this process may use, memory in GiB, load at this moment: figures of two machines are not compared."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = round(psutil.virtual_memory().total / 1024**3, 1)
    return {"cores": cores, "memory_gib": memory, "load_1m": round(psutil.getloadavg()[0], 2)}


def record(
    name: str,
    asked: Asked,
    *,
    contenders: dict[str, dict[str, Any]],
    ratios: dict[str, float],
    targets: Sequence[Target] = (),
    checks: dict[str, bool] | None = None,
    work: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The result of one benchmark, ready for JSON.

    Parameters
    ----------
    targets : limits on values of `ratios`
    checks : equality checks by name
    work : size of the work, for the reader
    """
    return {
        "name": name,
        "scale": asked.scale,
        "rounds": asked.rounds,
        "work": work or {},
        "versions": versions(),
        "machine": machine(),
        "contenders": contenders,
        "ratios": ratios,
        "ratio_of": "median inner seconds: from after the session or connection exists to the written result",
        "targets": targets_met(ratios, targets),
        "checks": checks or {},
    }


def finish(result: dict[str, Any], out: Path | None, *, console: Console | None = None) -> None:
    """Print a result as a table and write it as JSON."""
    console = console or Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
    console.print(_contenders(result))
    for name, value in result["ratios"].items():
        console.print(f"{name} = {value:g}")
    for name, target in result["targets"].items():
        console.print(f"target {name}: {target['value']:g}, limit {target['limit']:g}: {_yes(target['met'])}")
    for name, passed in result["checks"].items():
        console.print(f"check {name}: {_yes(passed)}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")


def _contenders(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['name']}, {result['scale']}, rounds: {result['rounds']}")
    for column in ("contender", "median s", "min", "max", "wall s", "peak RSS MB", "peak heap MB"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, c in result["contenders"].items():
        cells = [f"{value:.2f}" for value in (c["median"], c["min"], c["max"], c["wall"]["median"])]
        peaks = ["-" if c.get(peak) is None else f"{c[peak]:,.0f}" for peak in ("peak_rss_mb", "peak_heap_mb")]
        table.add_row(name, *cells, *peaks)
    return table


def _yes(good: bool) -> str:
    return "yes" if good else "NO"
