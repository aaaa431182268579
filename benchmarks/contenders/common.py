"""What every contender shares: its command line, its clock, its one line of JSON, and a Spark session of one kind."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from headrace.config.spark import SparkConfig
from headrace.session import spark_session

__all__ = ["Clock", "Job", "bench_session", "contend", "event_log_conf", "fresh", "spilled_bytes"]

_TASK_END = '"Event":"SparkListenerTaskEnd"'


@dataclass
class Clock:
    """Inner seconds of one contender.

    `inner_s` runs from `start()` (after the session or connection exists) to the written result. `phases` are parts
    of it by name; a lazy engine that fuses steps has few of them.
    """

    phases: dict[str, float] = field(default_factory=dict)
    started: float | None = None
    stopped: float | None = None

    def start(self) -> None:
        """The session exists: from here on it counts."""
        self.started = time.perf_counter()

    def stop(self) -> None:
        """The result is written: what follows no longer counts."""
        self.stopped = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a part of the inner time."""
        begin = time.perf_counter()
        yield
        self.phases[name] = round(time.perf_counter() - begin, 3)


@dataclass(frozen=True)
class Job:
    """What a contender is asked to do.

    Attributes
    ----------
    world, out : Path
        Folder of the input tables; folder for the result, empty.
    how : str
        Formulation, one of those that the contender declares.
    memory : str
        Heap of the driver's JVM, e.g. "6g"; nothing to contenders without one.
    clock : Clock
        Its `start()` is called once the session exists and whatever is not measured is prepared.
    """

    world: Path
    out: Path
    how: str = "only"
    memory: str = "6g"
    clock: Clock = field(default_factory=Clock)


def contend(work: Callable[[Job], object], *, hows: tuple[str, ...] = ("only",)) -> None:
    """Run one contender: parse the command line, do the work, print one JSON line, the last of stdout.

    Parameters
    ----------
    work : has its result written when it returns. A dict that it returns is kept as `facts`.
    hows : formulations of the same work that the contender knows, the fastest first (the default)
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--in", dest="world", type=Path, required=True, help="world folder")
    parser.add_argument("--out", type=Path, required=True, help="result folder, replaced")
    parser.add_argument("--how", choices=hows, default=hows[0], help="formulation")
    parser.add_argument("--memory", default="6g", help="heap of the driver's JVM")
    asked = parser.parse_args()
    job = Job(asked.world.resolve(), fresh(asked.out.resolve()), asked.how, asked.memory)
    job.clock.start()
    facts = work(job)
    assert job.clock.started is not None
    inner_s = round((job.clock.stopped or time.perf_counter()) - job.clock.started, 3)
    print(json.dumps({"inner_s": inner_s, "phases": job.clock.phases, "facts": facts or {}}), flush=True)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def bench_session(
    *, partitions: int, memory: str = "6g", app: str = "benchmark", conf: dict[str, str] | None = None
) -> SparkSession:
    """Headrace's own session on two cores, so that engines differ and settings do not.

    Parameters
    ----------
    partitions : shuffle partitions before adaptive coalescing
    memory : heap of the JVM
    conf : other settings of Spark
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = {"spark.sql.files.maxPartitionBytes": "32m", "spark.log.level": "ERROR"} | (conf or {})
    config = SparkConfig(
        master="local[2]",
        partitions=partitions,
        shuffle_partitions=partitions,
        driver_memory=memory,
        measure=False,
        conf=conf,
    )
    return spark_session(config, app=app)


def event_log_conf(folder: Path) -> dict[str, str]:
    """Settings that make Spark write its event log into `folder`, as one plain file."""
    settings = {"enabled": "true", "dir": folder.as_uri(), "rolling.enabled": "false", "compress": "false"}
    return {f"spark.eventLog.{name}": value for name, value in settings.items()}


def spilled_bytes(folder: Path) -> dict[str, int]:
    """Bytes that tasks spilled, from the event logs in `folder`; -1 where there is no task in any."""
    metrics = [
        json.loads(line).get("Task Metrics") for log in _logs(folder) for line in log.open() if _TASK_END in line
    ]
    names = {"spilled_disk_bytes": "Disk Bytes Spilled", "spilled_memory_bytes": "Memory Bytes Spilled"}
    return {key: sum(m[name] for m in metrics if m) if metrics else -1 for key, name in names.items()}


def _logs(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name.startswith(("local-", "app-"))]
