"""Run one process and measure it from outside: wall seconds, peak memory of its process tree, peak heap of its JVMs."""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Run", "last_json_line", "measured", "peak_heap_mb"]

_SAMPLE_S = 0.1
_MB = 1024 * 1024
_UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0}
_COLLECTION = re.compile(r"\b(\d+)([KMG])->(\d+)([KMG])\(")


@dataclass(frozen=True)
class Run:
    """One process, finished.

    Attributes
    ----------
    code : int
        Exit status; negative is a signal.
    wall_s : float
        From its start to its end.
    peak_rss_mb : float
        Largest sum of resident memory over its process tree in any sample (ten a second); pages that forked
        workers share count once per worker.
    peak_java_rss_mb : float
        Largest resident memory of all `java` processes of the tree together.
    peak_workers_rss_mb : float
        The same of Spark's Python workers: Python processes of the tree other than the first.
    peak_heap_mb : float or None
        Largest heap in use before a collection, over all JVMs; None where no JVM wrote a collection down.
    stdout, stderr : str
        What it said.
    """

    code: int
    wall_s: float
    peak_rss_mb: float
    peak_java_rss_mb: float
    peak_workers_rss_mb: float
    peak_heap_mb: float | None
    stdout: str
    stderr: str


def measured(
    command: Sequence[str], *, cwd: Path | None = None, timeout_s: float | None = None, heap: bool = False
) -> Run:
    """Run a command to its end, sampling its process tree. Past the time limit its tree is killed (code -9).

    Parameters
    ----------
    heap : have every JVM of the tree write its garbage collections to a log, and read the peak from there
    """
    with tempfile.TemporaryDirectory(prefix="headrace-measure-") as folder:
        logs = Path(folder)
        environment = dict(os.environ)
        if heap:
            option = f"-Xlog:gc:file={logs}/gc-%p.log"
            environment["JAVA_TOOL_OPTIONS"] = f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} {option}".strip()
        # Files, not pipes: a full pipe would stall the process that is being timed.
        with (logs / "stdout").open("w") as out, (logs / "stderr").open("w") as err:
            begin = time.perf_counter()
            process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
            peaks = _watch(process, deadline=None if timeout_s is None else begin + timeout_s)
            wall_s = time.perf_counter() - begin
        collections = "\n".join(log.read_text(errors="replace") for log in sorted(logs.glob("gc-*.log")))
        return Run(
            code=process.returncode,
            wall_s=round(wall_s, 3),
            peak_rss_mb=round(peaks[0] / _MB, 1),
            peak_java_rss_mb=round(peaks[1] / _MB, 1),
            peak_workers_rss_mb=round(peaks[2] / _MB, 1),
            peak_heap_mb=peak_heap_mb(collections.splitlines()),
            stdout=(logs / "stdout").read_text(errors="replace"),
            stderr=(logs / "stderr").read_text(errors="replace"),
        )


def _watch(process: subprocess.Popen, *, deadline: float | None) -> tuple[int, int, int]:
    """Peak bytes of the tree, of its JVMs and of its workers until the process ends, however this function is left."""
    peaks = (0, 0, 0)
    try:
        while process.poll() is None:
            if deadline is not None and time.perf_counter() > deadline:
                break
            tree, java, workers = _resident(process.pid)
            peaks = max(peaks[0], tree), max(peaks[1], java), max(peaks[2], workers)
            time.sleep(_SAMPLE_S)
    finally:
        if process.poll() is None:
            _kill_tree(process)
    return peaks


def _resident(pid: int) -> tuple[int, int, int]:
    tree = java = workers = 0
    for member in _tree(pid):
        try:
            resident = member.memory_info().rss
            name = member.name()
            java += resident if name == "java" else 0
            workers += resident if name.startswith("python") and member.pid != pid else 0
            tree += resident
        except psutil.Error:  # it ended between the listing and the reading
            continue
    return tree, java, workers


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _kill_tree(process: subprocess.Popen) -> None:
    for member in _tree(process.pid):
        try:
            member.kill()
        except psutil.Error:
            continue
    process.wait()


def peak_heap_mb(lines: Iterable[str]) -> float | None:
    """Largest heap in use before a collection, from the JVM's unified log (`-Xlog:gc`), MiB; None without collections."""
    before = [float(m[1]) * _UNITS[m[2]] for m in map(_COLLECTION.search, lines) if m]
    return max(before, default=None)


def last_json_line(text: str) -> dict | None:
    """The last line of a process's output that is a JSON object, or None."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            return dict(found)
    return None
