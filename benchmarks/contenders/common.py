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

from headrace.config.model import SparkConfig
from headrace.session import spark_session

__all__ = ["Clock", "bench_session", "contend", "fresh"]


@dataclass
class Clock:
    """Inner seconds of one contender.

    `inner_s` runs from `start()` (after the session or connection exists) to the written result. `phases` are parts
    of it by name; a lazy engine that fuses steps has few of them.
    """

    phases: dict[str, float] = field(default_factory=dict)
    started: float | None = None

    def start(self) -> None:
        """The session exists: from here on it counts."""
        self.started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a part of the inner time."""
        begin = time.perf_counter()
        yield
        self.phases[name] = round(time.perf_counter() - begin, 3)


def contend(work: Callable[[Path, Path, Clock], object], *, argv: list[str] | None = None) -> None:
    """Run one contender: parse `--in DIR --out DIR`, do the work, print one JSON line as the last of stdout.

    Parameters
    ----------
    work : function of (world folder, result folder, clock)
        Calls `clock.start()` once its session exists. What it returns as a dict is kept as `facts`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--in", dest="world", type=Path, required=True, help="world folder")
    parser.add_argument("--out", type=Path, required=True, help="result folder, replaced")
    asked = parser.parse_args(argv)
    clock = Clock()
    clock.start()
    facts = work(asked.world.resolve(), fresh(asked.out.resolve()), clock)
    assert clock.started is not None
    line = {"inner_s": round(time.perf_counter() - clock.started, 3), "phases": clock.phases, "facts": facts or {}}
    print(json.dumps(line), flush=True)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def bench_session(*, partitions: int, memory: str = "6g", app: str = "benchmark") -> SparkSession:
    """Headrace's own session on two cores, so that engines differ and settings do not.

    Parameters
    ----------
    partitions : shuffle partitions before adaptive coalescing
    memory : heap of the JVM
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = {"spark.sql.files.maxPartitionBytes": "32m", "spark.log.level": "ERROR"}
    config = SparkConfig(
        master="local[2]", partitions=partitions, shuffle_partitions=partitions, driver_memory=memory, conf=conf
    )
    return spark_session(config, app=app)
