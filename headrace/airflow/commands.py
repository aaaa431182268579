"""Programs as tasks start them: their environment, their output line by line, and what their exit code means."""

import json
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headrace.airflow.settings import Settings

__all__ = ["FINAL", "Ended", "Program", "ended_badly", "environment"]

FINAL = {2: "wrong configuration or arguments", 3: "a gate refused the day", 4: "input missing or not yet mature"}
"""Exit codes that another try cannot change, and what they say."""

_KEPT_LINES, _SHOWN_LINES = 400, 40
_PATIENCE_S = 15.0


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code and the last lines it printed."""

    code: int
    lines: tuple[str, ...]


def environment(found: Settings, *, run_id: str) -> dict[str, str]:
    """Variables for a program: HEADRACE_BIN leads the path; its Python runs the driver, and workers unless one is named."""
    programs = found.text("BIN")
    variables = {**os.environ, "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])}
    variables |= {"HEADRACE_RUN_ID": run_id, "PYTHONUNBUFFERED": "1"}
    variables["PYSPARK_DRIVER_PYTHON"] = os.path.join(programs, "python")
    variables.setdefault("PYSPARK_PYTHON", variables["PYSPARK_DRIVER_PYTHON"])
    variables.setdefault("COLUMNS", "160")  # tables of a task log, which no terminal folds
    if found.text("LOG"):
        variables["HEADRACE_LOG"] = found.text("LOG")
    return variables


class Program:
    """One program in a process group of its own, so that all it starts can be stopped."""

    def __init__(self, command: Sequence[str], *, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            list(command),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def follow(self, say: Callable[[str], Any]) -> Ended:
        """Hand on every line as it comes; return when the program has ended."""
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            lines.append(line.rstrip())
            say(line.rstrip())
        return Ended(self._process.wait(), tuple(lines))

    def stop(self) -> None:
        """Ask the group to end, then make it."""
        for ask in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            os.killpg(self._process.pid, ask)
            try:
                self._process.wait(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                continue


def ended_badly(name: str, ended: Ended) -> AirflowException:
    """The exception for an exit code that is not 0: one that Airflow retries only where that is of use."""
    said = _message(ended.lines)
    if ended.code in FINAL:
        return AirflowFailException(f"{name}: exit code {ended.code}, {FINAL[ended.code]}; not tried again\n{said}")
    meaning = "a bug or a lost machine" if ended.code == 1 else "it was killed, or could not start"
    return AirflowException(f"{name}: exit code {ended.code}, {meaning}; safe to run again\n{said}")


def _message(lines: Sequence[str]) -> str:
    """The error that Headrace printed and all after it, without what Spark said before; else the last lines."""
    lines = [_told(line) for line in lines]
    starts = [number for number, line in enumerate(lines) if line.startswith("error ")]
    kept = lines[starts[-1] :] if starts else lines[-_SHOWN_LINES:]
    return "\n".join(line for line in kept if line.strip())


def _told(line: str) -> str:
    """The message of a line of the JSON log that tells of an error; any other line as it is."""
    if '"event": "error"' not in line:
        return line
    try:
        return str(json.loads(line[line.index("{") :])["message"])
    except (ValueError, KeyError):
        return line
