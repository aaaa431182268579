"""benchmarks/RESULTS.md from the JSON of benchmark runs: `python -m benchmarks.results FILES...` [--to FILE]."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import main
from headrace.errors import InputError

__all__ = ["bench", "markdown"]

_HERE = Path(__file__).resolve().parent
_HEAD = """# Benchmark results

Made by `python -m benchmarks.results` from the JSON that the benchmarks wrote; not edited by hand.
What is measured, and how: docs/benchmarks.md. Compare ratios, not seconds: machines and their load differ.
"""
_NEEDED = ("name", "scale", "rounds", "work", "versions", "machine", "contenders", "ratios", "targets", "checks")


def bench(argv: Sequence[str] | None = None) -> bool:
    """Write RESULTS.md from the files named.

    Raises
    ------
    InputError
        A file is missing or is not a benchmark's result.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=_HERE / "RESULTS.md")
    given = parser.parse_args(argv)
    given.to.write_text(markdown([_read(path) for path in given.files]), encoding="utf-8")
    return True


def _read(path: Path) -> dict[str, Any]:
    wanted, remedy = "JSON that a benchmark wrote", "run the benchmark with --out"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(path), found=str(error), wanted=wanted, remedy=remedy) from error
    lacking = [key for key in _NEEDED if not isinstance(result, dict) or key not in result]
    if lacking:
        raise InputError(str(path), found=f"no {', '.join(lacking)}", wanted=wanted, remedy=remedy)
    return dict(result)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """The page: one section per result, ordered by name, then scale."""
    ordered = sorted(results, key=lambda result: (result["name"], result["scale"]))
    return "\n".join([_HEAD, *(_section(result) for result in ordered)])


def _section(result: dict[str, Any]) -> str:
    machine = result["machine"]
    facts = [
        f"Work: {_pairs(result['work'])}. Rounds: {result['rounds']}, contenders in turn.",
        f"Machine: {_pairs(machine)}.",
        f"Versions: {_pairs(result['versions'])}.",
    ]
    blocks = [f"## {result['name']}, {result['scale']}\n", "\n".join(facts) + "\n", _contenders(result["contenders"])]
    ratios = [(name, f"{value:g}") for name, value in result["ratios"].items()]
    targets = [
        (name, f"{t['value']:g}", f"{t['limit']:g}", "yes" if t["met"] else "**no**")
        for name, t in result["targets"].items()
    ]
    checks = [(name, "yes" if passed else "**no**") for name, passed in result["checks"].items()]
    blocks += _table(("ratio", "value"), ratios) if ratios else []
    blocks += _table(("target", "value", "limit", "met"), targets) if targets else []
    blocks += _table(("check", "passed"), checks) if checks else []
    return "\n".join(blocks)


def _contenders(contenders: dict[str, dict[str, Any]]) -> str:
    peaks = {"peak_rss_mb": "peak RSS MB", "peak_heap_mb": "peak heap MB"}
    shown = {key: title for key, title in peaks.items() if any(key in c for c in contenders.values())}
    rows = []
    for name, c in contenders.items():
        seconds = [f"{value:.2f}" for value in (c["median"], c["min"], c["max"], c["wall"]["median"])]
        rows.append((name, *seconds, *("-" if c.get(key) is None else f"{c[key]:,.0f}" for key in shown)))
    return "".join(_table(("contender", "median s", "min", "max", "whole process s", *shown.values()), rows))


def _pairs(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in facts.items())


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["".join("| " + " | ".join(cells) + " |\n" for cells in lines)]


if __name__ == "__main__":
    main(bench)
