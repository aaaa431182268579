"""popmon's histograms (histogrammar) of the same day, from the same Parquet files, on pandas.

Its Spark engine wants a Scala library that exists up to Spark 3 only. Bins are its own choice (40 of a number).

features  one histogram of every feature
slices    besides, one of every slice by every feature
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job, contend
from benchmarks.coverageworlds import coverage_config
from features.states import STATES
from headrace.config import Config, Feature, feature_columns, slices_of

__all__ = ["HOWS", "build", "read_frame"]

HOWS = ("features", "slices")
_OTHER = "(other)"


def build(job: Job) -> dict[str, int]:
    """Histograms as JSON."""
    config = coverage_config(job.out)
    names = [feature.name for feature in feature_columns(config)]
    os.environ["TQDM_DISABLE"] = "1"
    with warnings.catch_warnings(action="ignore"):
        import popmon

        job.clock.start()
        with job.clock.phase("read"):
            frame = read_frame(job.world, names)
            names = asked = [name for name in names if frame[name].notna().any()]  # it refuses a column without values
            if job.how == "slices":
                cut = _with_slices(frame, job.world, config)
                asked = [*names, *(f"{s}:{name}" for s in cut for name in names)]
        with job.clock.phase("histograms"):
            found = popmon.make_histograms(frame, features=asked)
        (job.out / "histograms.json").write_text(json.dumps({n: h.toJson() for n, h in found.items()}))
    return {"rows": len(frame), "histograms": len(found)}


def read_frame(world: Path, columns: list[str], *, most_rows: int | None = None) -> pd.DataFrame:
    """Columns of the training set; with `most_rows` about as many from each row group."""
    files = [pq.ParquetFile(file) for file in sorted((world / "training_set").rglob("*.parquet"))]
    total = sum(file.metadata.num_rows for file in files)
    part = 1.0 if most_rows is None else min(most_rows / total, 1.0)
    parts = []
    for file in files:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=columns)
            parts.append(rows.slice(0, round(rows.num_rows * part)))
    return pa.concat_tables(parts).to_pandas(self_destruct=True, split_blocks=True)


def _with_slices(frame: pd.DataFrame, world: Path, config: Config) -> list[str]:
    """Columns to cut by, as text, added to the frame: the largest values, and whether the item was known."""
    added: dict[str, Any] = {}
    for one in slices_of(config):
        if one.known:
            added[f"slice_{one.name}"] = _known(world, feature_columns(config), f"group:{one.known}")
        else:
            texts = frame[str(one.column)]
            kept = texts.value_counts().index[: one.top or config.coverage.max_slice_values]
            added[f"slice_{one.name}"] = texts.where(texts.isin(kept) | texts.isna(), _OTHER).fillna("null")
    for name, values in added.items():
        frame[name] = values
    return list(added)


def _known(world: Path, features: list[Feature], source: str) -> np.ndarray:
    place = next(n for n, feature in enumerate(features) if feature.source == source)
    states = pq.read_table(world / "training_set", columns=["feature_states"], partitioning=None)["feature_states"]
    at = pc.binary_slice(states, place, place + 1)
    unknown = pc.equal(at, pa.scalar(bytes([STATES.index("no_entity")])))
    return np.where(unknown.to_numpy(), "never seen", "known")


if __name__ == "__main__":
    contend(build, hows=HOWS)
