"""What the trainers' contenders share: the architecture, the rows, one core, and the judgement of the test rows.

A formulation is a way and a seed, "own-1". All ways train one epoch in batches of 2,048. Inner seconds run from the
first byte of the training rows to the last step; the network is built, and the test rows are read, outside of them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job
from benchmarks.contenders.loader_common import COLUMNS, rows_files
from benchmarks.contenders.loader_headrace import loader_of
from benchmarks.trainworlds import DENSE, IDS, LABELS, VOCABULARIES

__all__ = [
    "EMBEDDING",
    "EXPERTS",
    "EXPERT_LAYERS",
    "RATE",
    "SEEDS",
    "TOWER_LAYERS",
    "asked_way",
    "columns_of",
    "fed",
    "hows_of",
    "judged",
    "read_arrays",
    "vocabularies",
]

EMBEDDING, EXPERTS, EXPERT_LAYERS, TOWER_LAYERS = 16, 4, (128, 64), (32,)
RATE = 1e-3  # learning rate of the peers' Adam, their default
SEEDS = range(1, 10)
_TEST_BATCH = 8_192
Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray]


def hows_of(*ways: str) -> tuple[str, ...]:
    """Formulations: every way with every seed."""
    return tuple(f"{way}-{seed}" for way in ways for seed in SEEDS)


def asked_way(job: Job) -> tuple[str, int]:
    """Way and seed of the job's formulation."""
    way, _, seed = job.how.rpartition("-")
    return way, int(seed)


def read_arrays(job: Job, folder: str) -> Arrays:
    """All rows of `train` or `test` in memory: a dict of columns (N,)."""
    tables = [pq.read_table(file, columns=list(COLUMNS), use_threads=False) for file in rows_files(job.world, folder)]
    table = pa.concat_tables(tables)
    return {name: table[name].to_numpy() for name in COLUMNS}


def fed(job: Job, *, seed: int) -> Iterator[dict[str, Any]]:
    """Headrace's loader over the training rows: ids (B, F) int64, dense (B, N) and labels (B, T) float32."""
    loader = loader_of(rows_files(job.world, "train"), columns=COLUMNS, workers=1, seed=seed)
    return (batch for _, batch in loader.epoch(0))


def columns_of(batch: dict[str, Any]) -> dict[str, Any]:
    """The inputs of such a batch as a dict of columns (B,), which is how the peers' networks take them."""
    ids = dict(zip(IDS, batch["ids"].unbind(1), strict=True))
    return ids | dict(zip(DENSE, batch["dense"].unbind(1), strict=True))


def judged(job: Job, score: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Facts of a trained network: rows per second and the AUC of each label on the test rows.

    Parameters
    ----------
    score : a batch as of `fed`, without labels -> (B, T) scores, higher for likelier
    """
    import torch

    from trainer.metrics import auc

    assert job.clock.started is not None and job.clock.stopped is not None
    seconds = job.clock.stopped - job.clock.started
    rows = sum(pq.read_metadata(file).num_rows for file in rows_files(job.world, "train"))
    test = read_arrays(job, "test")
    ids, dense = (np.stack([test[name] for name in names], axis=1) for names in (IDS, DENSE))
    scores = []
    with torch.no_grad():
        for start in range(0, len(ids), _TEST_BATCH):
            part = slice(start, start + _TEST_BATCH)
            batch = {"ids": torch.from_numpy(ids[part]), "dense": torch.from_numpy(dense[part])}
            scores.append(np.asarray(score(batch), dtype=np.float64))
    whole = np.concatenate(scores)  # (N, T)
    found = [round(auc(test[label], whole[:, t]), 5) for t, label in enumerate(LABELS)]
    return {"rows": rows, "rows_per_s": round(rows / seconds), "auc": found, "test_rows": len(whole)}


def vocabularies() -> Sequence[tuple[str, int]]:
    """(column, rows of its embedding)."""
    return list(zip(IDS, VOCABULARIES, strict=True))
