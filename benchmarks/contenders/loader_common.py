"""What the loaders' contenders share: one core, the files, a pass that is timed, and a pass that is checked."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.contenders.common import Job
from benchmarks.trainworlds import DENSE, IDS, KEY, LABELS

__all__ = ["BATCH", "COLUMNS", "WINDOW", "one_core", "read_all", "rows_files", "torch_of_one_thread", "versions_of"]

BATCH = 2_048
WINDOW = 131_072  # rows that are shuffled among each other: conf/model.yaml's, and every contender's buffer
COLUMNS = (*IDS, *DENSE, *LABELS)
Batches = Callable[[Sequence[str]], Iterator[Mapping[str, Any]]]


def one_core() -> None:
    """Keep this process and its children to one core, so that a helper thread or process is not a second one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def torch_of_one_thread() -> Any:
    """The module torch, and pyarrow's pools, with one thread each."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import pyarrow as pa
    import torch

    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return torch


def rows_files(world: Path, folder: str = "rows") -> list[Path]:
    """The Parquet files of a made training set, in the order of time."""
    return sorted((world / folder).glob("*.parquet"))


def read_all(job: Job, batches: Batches) -> dict[str, Any]:
    """Time a pass over all rows, then make another that is only checked: sums, and the order of the rows.

    Parameters
    ----------
    batches : columns -> batches, each a dict of tensors of equal length: the columns, or ids, dense and labels together
        With the column of keys only in the second pass. Whatever is made once for all passes is made before this call.

    Returns
    -------
    Facts: rows, rows_per_s, batches, largest_batch, id_sum, label_sum. The order of the keys lies in `order.npy`.
    """
    job.clock.start()
    sizes = [len(next(iter(batch.values()))) for batch in batches(COLUMNS)]
    job.clock.stop()
    assert job.clock.started is not None and job.clock.stopped is not None
    facts = {"rows": sum(sizes), "rows_per_s": round(sum(sizes) / (job.clock.stopped - job.clock.started))}
    facts |= {"batches": len(sizes), "largest_batch": max(sizes), "id_sum": 0, "label_sum": 0}
    order: list[npt.NDArray[np.int64]] = []
    for batch in batches((*COLUMNS, KEY)):
        order.append(np.asarray(batch[KEY]).astype(np.int64))
        facts["id_sum"] += _sum(batch, "id")
        facts["label_sum"] += _sum(batch, "label")
    np.save(job.out / "order.npy", np.concatenate(order))
    return facts


def versions_of(*packages: str) -> dict[str, str]:
    """Those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sum(batch: Mapping[str, Any], start: str) -> int:
    """Of the whole numbers in the tensors of a kind: `ids` or `id_0`, `id_1`, ...; `labels` or `label_0`, ..."""
    return sum(int(cells.long().sum()) for name, cells in batch.items() if name == f"{start}s" or f"{start}_" in name)
