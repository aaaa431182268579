"""docs/conformance.md: every case through our engine and through the peers that are there.

    python -m tests.conformance.table [--python-tempo PATH] [--python-feast PATH]

A peer that cannot be imported is left out, with the reason in the document.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.config.spark import SparkConfig
from headrace.session import spark_session
from tests.conformance.case import Case, Cell, catalogue
from tests.conformance.engine import Built, build_world
from tests.conformance.page import PEERS, Column, Verdict, page
from tests.conformance.peers.common import load_jobs
from tests.conformance.peers.export import export_jobs
from tests.conformance.peers.precompute import with_ready_rows

__all__ = ["main"]

ROOT = Path(__file__).parent.parent.parent
OURS = "Headrace"


def main() -> None:
    """Build the worlds, ask everybody, write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--python-tempo", default=sys.executable, help="a Python with dbl-tempo and pyspark")
    parser.add_argument("--python-feast", default=sys.executable, help="a Python with feast")
    asked = parser.parse_args()
    pythons = {"tempo": asked.python_tempo, "feast": asked.python_feast}
    with tempfile.TemporaryDirectory() as folder:
        worlds = _worlds(Path(folder))
        jobs = Path(folder) / "jobs.json"
        _write_jobs(worlds, jobs)
        columns = [_ours(worlds)]
        columns += [_peer(name, pythons.get(name, sys.executable), jobs, worlds) for name in PEERS]
    cases = sorted((case for built in worlds for case in built.cases), key=lambda case: case.number)
    (ROOT / "docs" / "conformance.md").write_text(page(cases, columns), encoding="utf-8")


def _worlds(folder: Path) -> list[Built]:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = SparkConfig(
        master="local[2]", partitions=0, shuffle_partitions=2, driver_memory="2g", measure=False, conf={}
    )
    session = spark_session(settings, app="conformance")
    worlds = [build_world(lambda: session, folder / name, world=name) for name in catalogue()["worlds"]]
    session.stop()
    return worlds


def _write_jobs(worlds: list[Built], path: Path) -> None:
    """Jobs with the rows that a pipeline in front of a feature store would have written."""
    path.write_text(json.dumps(export_jobs(worlds)), encoding="utf-8")
    ready = [asdict(with_ready_rows(job)) for job in load_jobs(path)]
    path.write_text(json.dumps(ready), encoding="utf-8")


def _ours(worlds: list[Built]) -> Column:
    found = {}
    for built in worlds:
        for case in built.cases:
            cells = {(str(a), f): built.cell(case, a, f)[0] for a, f in _asked(case)}
            found[case.name] = _verdict(case, {k: {"value": v} for k, v in cells.items()})
    return Column(OURS, None, found)


def _asked(case: Case) -> list[tuple[int | str, str]]:
    return [(ask, feature) for ask, cells in case.expect.items() for feature in cells]


def _peer(name: str, python: str, jobs: Path, worlds: list[Built]) -> Column:
    out = jobs.parent / f"{name}.json"
    command = [python, "-m", f"tests.conformance.peers.{PEERS[name].module}", "--jobs", str(jobs), "--out", str(out)]
    environment = {k: v for k, v in os.environ.items() if k != "PYSPARK_PYTHON"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        print(f"{name} is left out: {last}", file=sys.stderr)
        return Column(name, f"not run: {last}", {})
    told = json.loads(out.read_text(encoding="utf-8"))
    cells: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for cell in told["cells"]:
        cells.setdefault(cell["case"], {})[cell["ask"], cell["feature"]] = cell
    found = {c.name: _verdict(c, cells.get(c.name, {})) for built in worlds for c in built.cases}
    return Column(name, told["version"], found)


def _verdict(case: Case, cells: dict[tuple[str, str], dict[str, Any]]) -> Verdict:
    """Right if every expected cell is; else the first wrong one, else why it cannot be said."""
    reasons = []
    for ask, feature in _asked(case):
        cell = cells.get((str(ask), feature), {"cannot": "no answer"})
        wanted = case.expect[ask][feature]
        if "cannot" in cell:
            reasons.append(cell["cannot"])
        elif not _same(cell["value"], wanted):
            return Verdict("wrong", f"{feature} of {ask}: {_shown(cell['value'])} for {_shown(wanted)}")
    return Verdict("cannot express", reasons[0]) if reasons else Verdict("right", "")


def _same(value: Cell, wanted: Cell) -> bool:
    return value == wanted and type(value) is type(wanted)


def _shown(value: Cell) -> str:
    return "null" if value is None else repr(value)


if __name__ == "__main__":
    main()
