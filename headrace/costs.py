"""What a build cost, for its receipt: from the stages that the driver's own status page (REST API) tells of.

A session without that page (`spark.measure: false`, or its UI off) is not asked: the receipt then has seconds and bytes
only. Nothing here can fail a build.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import requests

from headrace.config import Config
from headrace.delta import delta_files, is_table
from headrace.receipt import Receipt
from headrace.steps import Step

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["spark_costs", "stages_of", "with_costs"]

_PATIENCE_S = 20
_KEYS = {"numCompleteTasks", "numFailedTasks", "executorRunTime"}
_KEYS |= {"inputBytes", "shuffleWriteBytes", "diskBytesSpilled"}
_PYTHON_PEAK = "ProcessTreePythonRSSMemory"


def stages_of(session: "SparkSession | None", *, since: datetime) -> list[dict[str, Any]]:
    """Ended stages submitted from `since` on, with medians and maxima over their tasks; none without a page to ask.

    The driver's own clock says both moments.
    """
    page = session.sparkContext.uiWebUrl if session is not None else None
    if session is None or page is None:
        return []
    where = f"{page}/api/v1/applications/{session.sparkContext.applicationId}/stages"
    asked = {"withSummaries": "true", "quantiles": "0.5,1.0"}
    try:
        with requests.Session() as caller:
            caller.trust_env = False  # the driver's own page is not asked through a company's proxy
            answer = caller.get(where, params=asked, timeout=_PATIENCE_S, allow_redirects=False)
        answer.raise_for_status()
        ended = [stage for stage in answer.json() if stage["status"] in ("COMPLETE", "FAILED")]
        return [stage for stage in ended if _submitted(stage) >= since and stage.keys() >= _KEYS]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return []  # a proxy in between, or no answer in time: a build does not fail for its bookkeeping


def _submitted(stage: Mapping[str, Any]) -> datetime:
    return datetime.strptime(stage["submissionTime"], "%Y-%m-%dT%H:%M:%S.%fGMT").replace(tzinfo=UTC)


def spark_costs(stages: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over the stages of a build; nothing where none are known.

    Returns
    -------
    stages, tasks, failed_tasks : counts
    executor_s : seconds of all tasks
    read_bytes, shuffle_bytes, spill_bytes : what Spark read, sent between tasks, and spilled to disk
    skew : slowest task / median task of the stage that took longest among those of two tasks or more; 1 without
    python_peak_bytes : the most that the Python workers of one executor held at once
    """
    if not stages:
        return {}
    return {
        "stages": len(stages),
        "tasks": sum(stage["numCompleteTasks"] for stage in stages),
        "failed_tasks": sum(stage["numFailedTasks"] for stage in stages),
        "executor_s": round(sum(stage["executorRunTime"] for stage in stages) / 1000, 3),
        "read_bytes": sum(stage["inputBytes"] for stage in stages),
        "shuffle_bytes": sum(stage["shuffleWriteBytes"] for stage in stages),
        "spill_bytes": sum(stage["diskBytesSpilled"] for stage in stages),
        "skew": _skew(stages),
        "python_peak_bytes": max(int((s.get("peakExecutorMetrics") or {}).get(_PYTHON_PEAK, 0)) for s in stages),
    }


def _skew(stages: Sequence[Mapping[str, Any]]) -> float:
    split = [stage for stage in stages if stage["numCompleteTasks"] > 1 and stage.get("taskMetricsDistributions")]
    if not split:
        return 1.0
    longest = max(split, key=lambda stage: stage["executorRunTime"])
    middle, most = longest["taskMetricsDistributions"]["executorRunTime"]
    return round(most / middle, 2) if middle else 1.0


def with_costs(
    config: Config, receipts: Mapping[date, Receipt], costs: Mapping[str, float], *, step: Step
) -> dict[date, Receipt]:
    """Receipts of one build that also say what the build cost, all its days together.

    `cost` is JSON: days, bytes_out (size of the day's files, from the Delta log) and what `spark_costs` found; the
    seconds lie between the receipt's own started_at and ended_at.
    """
    names = {name for receipt in receipts.values() for name in receipt.outputs} if step.spark else set()
    sizes = _bytes_written(config, names, days=list(receipts))
    facts = {"days": len(receipts), **costs}
    return {
        day: replace(r, notes={**r.notes, "cost": json.dumps(facts | {"bytes_out": sizes[day]})})
        for day, r in receipts.items()
    }


def _bytes_written(config: Config, names: Collection[str], *, days: Sequence[date]) -> dict[date, int]:
    """Size of the tables' files of each day, from the Delta log."""
    sizes = dict.fromkeys(days, 0)
    for name in sorted(names):
        uri = f"{config.root}/{name}"
        for file in delta_files(uri, days=days) if is_table(uri) else []:
            sizes[file.ds] += file.size
    return sizes
