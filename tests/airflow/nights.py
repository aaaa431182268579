"""Whole runs of a DAG, by `airflow dags test`, and what became of their tasks."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Night", "run_dag"]


@dataclass(frozen=True)
class Night:
    """What a run came to.

    Attributes
    ----------
    state : state of the run
    states : task -> state; a mapped task is named with its index
    links : task -> address of its button "Coverage report"
    log : all that was printed
    """

    state: str
    states: dict[str, str]
    links: dict[str, str]
    log: str

    def tasks(self, state: str) -> set[str]:
        """Names of the tasks in a state."""
        return {name for name, one in self.states.items() if one == state}


def run_dag(home: Path, dag_id: str, *, ds: str, env: dict[str, str] | None = None, patience: float = 300) -> Night:
    """Run one day of a DAG to its end, in this process's environment and `env`."""
    given = {**os.environ, **(env or {}), "AIRFLOW_HOME": str(home), "COLUMNS": "200"}
    command = [sys.executable, "-m", "airflow", "dags", "test", dag_id, ds, "--conf", json.dumps({"ds": ds})]
    shown = subprocess.run(command, capture_output=True, text=True, env=given, timeout=patience)
    with sqlite3.connect(home / "airflow.db") as database:
        (run_id, state) = database.execute(
            "select run_id, state from dag_run where dag_id = ? order by id desc limit 1", [dag_id]
        ).fetchone()
        rows = database.execute(
            "select task_id, map_index, state from task_instance where dag_id = ? and run_id = ?", [dag_id, run_id]
        ).fetchall()
        links = database.execute(
            "select task_id, value from xcom where dag_id = ? and run_id = ? and key = '_link_CoverageReportLink'",
            [dag_id, run_id],
        ).fetchall()
    database.close()
    states = {name if index < 0 else f"{name}[{index}]": str(one) for name, index, one in rows}
    return Night(state, states, {name: json.loads(value) for name, value in links}, shown.stdout + shown.stderr)
