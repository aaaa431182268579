"""`headrace coverage` of one day: count 200 features in ten slices, write the table, hash it.

step   the step as it is
scans  the same, not to be timed: how often the rows of the training set pass, as Spark and the tasks' readers count them
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from benchmarks.contenders.common import Job, bench_session, contend, event_log_conf
from benchmarks.coverageworlds import coverage_config
from benchmarks.worldfiles import FIRST_DAY
from headrace.delta import delta_files, read_days
from jobs import coverage as step
from reports import coverage

__all__ = ["HOWS", "build", "rows_scanned"]

HOWS = ("step", "scans")
_PARTITIONS = 8


def build(job: Job) -> dict[str, Any]:
    """The step in a root that links the world's files; rows written, slice values, and scans where asked for."""
    root = job.out / "root"
    shutil.copytree(job.world / "training_set", root / "training_set", copy_function=_linked)
    config = coverage_config(root)
    scans, noted = job.how == "scans", job.out / "noted"
    noted.mkdir()
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory, conf=event_log_conf(noted) if scans else None)
    job.clock.start()
    if scans:
        _note_rows(noted)
    receipts = step.build(spark, config, [FIRST_DAY])
    job.clock.stop()
    rows = sum(file.rows for file in delta_files(f"{root}/training_set"))
    found = read_days(f"{root}/coverage", columns=["feature", "slice", "value"])
    pairs = {(row["slice"], row["value"]) for row in found.to_pylist()}
    facts = {"rows": rows, "rows_out": receipts[FIRST_DAY].rows_out, "slice_values": len(pairs) - 1}
    return facts | (_scans(spark, noted, rows=rows) if scans else {})


def _linked(source: str, target: str) -> None:
    (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)


def _note_rows(folder: Path) -> None:
    """Readers inside tasks, which Spark does not see, put down what they open: rows of it, one file each."""
    opened = coverage.open_parts

    def noting(*given: Any, dictionaries: Sequence[str] = ()) -> Iterator[Any]:
        for part in opened(*given, dictionaries=dictionaries):
            if part.tag == "training_set":
                rows = sum(part.file.metadata.row_group(group).num_rows for group in part.groups)
                (folder / f"{uuid.uuid4()}.rows").write_text(str(rows))
            yield part

    vars(coverage)["open_parts"] = noting


def _scans(spark: SparkSession, folder: Path, *, rows: int) -> dict[str, float]:
    """Times that the rows passed: through Spark's own readers, and through those of the tasks."""
    if spark.conf.get("spark.eventLog.enabled", "false") == "true":
        spark.stop()  # closes the log
    by_tasks = sum(int(file.read_text()) for file in folder.glob("*.rows"))
    by_spark = rows_scanned(folder, "/training_set")
    return {"scans_by_spark": round(by_spark / rows, 2), "scans_by_tasks": round(by_tasks / rows, 2)}


def rows_scanned(folder: Path, table: str) -> int:
    """Rows that Spark's scans of a table's files gave, from the event logs in `folder`."""
    counters, counted = set[int](), dict[int, int]()
    for log in (file for file in folder.iterdir() if file.name.startswith(("local-", "app-"))):
        for event in map(json.loads, log.read_text().splitlines()):
            if "sparkPlanInfo" in event:
                counters |= set(_counters(event["sparkPlanInfo"], table))
            for one in event.get("Stage Info", {}).get("Accumulables", ()):
                if str(one.get("Value", "")).isdigit():
                    counted[one["ID"]] = max(counted.get(one["ID"], 0), int(one["Value"]))
    return sum(counted.get(id, 0) for id in counters)


def _counters(plan: dict[str, Any], table: str) -> Iterator[int]:
    """Accumulators of rows given, of the scans of the table in a plan."""
    location = plan["metadata"].get("Location", "").rstrip("]").rstrip("/")
    if location.endswith(table):
        yield from (m["accumulatorId"] for m in plan["metrics"] if m["name"] == "number of output rows")
    for child in plan["children"]:
        yield from _counters(child, table)


if __name__ == "__main__":
    contend(build, hows=HOWS)
