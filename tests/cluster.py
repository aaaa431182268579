"""A standalone Spark cluster on loopback: a master, two workers of one core, and the two Pythons that a real one has.

The driver's Python has every dependency and no Headrace; that of the executors has what requirements-executors.txt names.
Nothing is fetched: both are folders of links to the packages installed here.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path

import psutil
import pyspark

from headrace.session import delta_package

__all__ = [
    "SPARK",
    "Cluster",
    "hold_of",
    "imported",
    "kill_busy_executor",
    "python_with",
    "python_without_headrace",
    "standalone",
    "submit",
]

SPARK = Path(pyspark.__file__).parent
SITE = SPARK.parent
_SMALL = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # tiny data: compile fast, few threads
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "768m",
    "spark.executor.extraJavaOptions": _SMALL,
    "spark.driver.extraJavaOptions": f"{_SMALL} -XX:ReservedCodeCacheSize=256m",
}
# Workers are forked and end without exit handlers, so each name is put down when it is first asked for. A task that is handed
# its function waits while somebody holds it.
_TRACE = """
import os, sys, time
_seen, _log = set(), os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def _told(event, given):
    if event == "import" and (name := given[0].partition(".")[0]) not in _seen:
        _seen.add(name)
        os.write(_log, name.encode() + b"\\n")
    elif event == "pickle.find_class":
        until = time.monotonic() + 60
        while os.path.exists({hold!r}) and time.monotonic() < until:
            time.sleep(0.01)
sys.addaudithook(_told)
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes
    ----------
    url : what `--master` takes
    folder : logs, and a work folder for each worker: nothing that a driver uses
    workers : one process each; their executors are their children
    """

    url: str
    folder: Path
    workers: list[subprocess.Popen] = field(default_factory=list)


def python_without_headrace(folder: Path) -> Path:
    """A Python that has what is installed here but Headrace: .pth files inside the folder linked to are not read."""
    python = _bare(folder)
    (_site(folder) / "all.pth").write_text(f"{SITE}\n", encoding="utf-8")
    return python


def python_with(folder: Path, requirements: str) -> Path:
    """A Python that has the packages named by the lines `name==version`, and nothing else; `imported` says what it used."""
    python = _bare(folder)
    (_site(folder) / "sitecustomize.py").write_text(
        _TRACE.format(log=str(folder / "imported"), hold=str(hold_of(folder))), encoding="utf-8"
    )
    for name in sorted(set(re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE))):
        for top in {Path(file).parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            (_site(folder) / top).symlink_to(SITE / top)
    return python


def imported(folder: Path) -> set[str]:
    """Packages and modules that any process of a Python from `python_with` asked for."""
    return set((folder / "imported").read_text(encoding="utf-8").split())


def hold_of(folder: Path) -> Path:
    """While this file is there, tasks of a Python from `python_with` wait in their middle, for a minute at most."""
    return folder / "hold"


def _bare(folder: Path) -> Path:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    return folder / "bin" / "python"


def _site(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


@contextmanager
def standalone(folder: Path, *, workers: int = 2) -> Iterator[Cluster]:
    """Start a master and workers; stop them and all that they started whatever happens within. Logs stay in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    running: list[subprocess.Popen] = []
    try:
        master = _daemon(folder / "master.log", "master.Master", "--port", "0")
        running.append(master)
        url = _said(folder / "master.log", r"Starting Spark master at (spark://\S+)", process=master)
        cluster = Cluster(url, folder)
        for number in range(workers):
            where, log = folder / f"worker-{number}", folder / f"worker-{number}.log"
            size = ("--cores", "1", "--memory", "1g", "--work-dir", str(where))
            cluster.workers.append(_daemon(log, "worker.Worker", *size, url))
            running.append(cluster.workers[-1])
        for number, worker in enumerate(cluster.workers):
            _said(folder / f"worker-{number}.log", r"(Successfully registered) with master", process=worker)
        yield cluster
    finally:
        for process in reversed(running):
            _stop(process)


def _daemon(log: Path, name: str, *arguments: str) -> subprocess.Popen:
    """A process group of its own, so that what it starts can be stopped with it."""
    command = [SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1"]
    env = _environ({"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": _SMALL})
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*map(str, command), "--webui-port", "0", *arguments],
            stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env=env, cwd=log.parent,
            start_new_session=True, preexec_fn=_end_with_parent,
        )  # fmt: skip


def _end_with_parent() -> None:
    """Linux alone: a run of tests that was killed leaves nothing running either."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would lead a cluster to the sources, or elsewhere."""
    leads = ("PYTHON", "PYSPARK", "SPARK_", "HEADRACE_", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(leads)}
    return kept | {"SPARK_HOME": str(SPARK), "SPARK_LOCAL_IP": "127.0.0.1"} | dict(more)


def _said(log: Path, pattern: str, *, process: subprocess.Popen, patience: float = 60) -> str:
    """What the log says, once it does."""
    until = time.monotonic() + patience
    while time.monotonic() < until and process.poll() is None:
        found = re.search(pattern, log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"{log} never said {pattern}:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen) -> None:
    """The process and its group, gently and then by force: executors end with their worker."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def submit(
    cluster: Cluster, job: Path, *arguments: str, drive: Path, work: Path, conf: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None, packages: Iterable[str] = (), patience: float = 600,
    meanwhile: Callable[[subprocess.Popen], None] | None = None,
) -> subprocess.CompletedProcess:  # fmt: skip
    """Run a job of an unpacked bundle to its end: spark-submit in client mode, from the folder above jobs/.

    Parameters
    ----------
    drive, work : Python of the driver, and of the executors
    conf, env, packages : Spark settings, variables of the driver, Maven coordinates beside Delta's
    meanwhile : called while it runs, which must return soon after it ended
    """
    settings = _SETTINGS | dict(conf or {})
    command = [str(SPARK / "bin" / "spark-submit"), "--master", cluster.url, "--deploy-mode", "client"]
    command += ["--packages", ",".join([delta_package(), *packages]), "--py-files", "headrace.zip"]
    command += [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    pythons = {"PYSPARK_DRIVER_PYTHON": str(drive), "PYSPARK_PYTHON": str(work)}
    number = len(list(cluster.folder.glob("submit-*.out")))
    logs = [cluster.folder / f"submit-{number}.{name}" for name in ("out", "err")]
    with logs[0].open("wb") as out, logs[1].open("wb") as err:
        process = subprocess.Popen(
            [*command, str(job.relative_to(job.parent.parent)), *arguments],
            stdout=out, stderr=err, cwd=job.parent.parent, env=_environ(pythons | dict(env or {})),
            start_new_session=True, preexec_fn=_end_with_parent,
        )  # fmt: skip
    try:
        if meanwhile is not None:
            meanwhile(process)
        process.wait(patience)
    finally:
        _stop(process)
    said, complained = (log.read_text(encoding="utf-8", errors="replace") for log in logs)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def kill_busy_executor(cluster: Cluster) -> Path | None:
    """SIGKILL an executor that is in the middle of a task; its folder, or None where none is at this moment."""
    for number, worker in enumerate(cluster.workers):
        for process in _executors(worker):
            with suppress(psutil.Error, OSError):
                log = Path(process.cwd()) / "stderr"
                said = log.read_text(encoding="utf-8", errors="replace")
                running = said.count(": Running task ") - said.count(": Finished task ")
                if running > 0 and log.is_relative_to(cluster.folder / f"worker-{number}"):
                    process.kill()
                    return log.parent
    return None


def _executors(worker: subprocess.Popen) -> list[psutil.Process]:
    try:
        children = psutil.Process(worker.pid).children()
        return [child for child in children if any("CoarseGrainedExecutorBackend" in part for part in child.cmdline())]
    except psutil.Error:
        return []


def main(folder: str) -> None:
    """A cluster for programs that cannot import this: says its address, and stops when its input ends."""
    with standalone(Path(folder)) as cluster:
        print(cluster.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
