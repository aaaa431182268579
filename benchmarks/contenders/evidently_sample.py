"""Evidently's data summary of as many rows as it can hold in reasonable memory and time: a figure, not a rival.

Rows come evenly from all row groups.
"""

import os
import warnings

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.popmon_pandas import read_frame
from benchmarks.coverageworlds import coverage_config
from headrace.config import feature_columns

__all__ = ["build"]

_MOST_ROWS = 100_000


def build(job: Job) -> dict[str, int]:
    """The summary as JSON."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings(action="ignore"):
        from evidently import Dataset, Report
        from evidently.presets import DataSummaryPreset

        job.clock.start()
        with job.clock.phase("read"):
            frame = read_frame(
                job.world, [f.name for f in feature_columns(coverage_config(job.out))], most_rows=_MOST_ROWS
            )
            frame = frame.dropna(axis=1, how="all")  # of a column without values it knows no type
        with job.clock.phase("summary"):
            summary = Report([DataSummaryPreset()]).run(Dataset.from_pandas(frame), None)
        (job.out / "summary.json").write_text(summary.json())
    return {"rows": len(frame), "columns": frame.shape[1]}


if __name__ == "__main__":
    contend(build)
