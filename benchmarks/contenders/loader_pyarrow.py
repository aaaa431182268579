"""The floor: pyarrow reads everything at once, numpy permutes all rows, slices become tensors. Memory grows with the rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, one_core, read_all, rows_files, torch_of_one_thread
from benchmarks.trainworlds import DENSE, IDS, KEY, LABELS

__all__ = ["build"]


def build(job: Job) -> dict[str, Any]:
    """Read all rows once in a true permutation."""
    one_core()
    torch = torch_of_one_thread()

    def batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        parts = [pq.read_table(file, columns=list(columns), use_threads=False) for file in rows_files(job.world)]
        table = pa.concat_tables(parts)
        whole = {
            "ids": np.stack([table[name].to_numpy() for name in IDS], axis=1),
            "dense": np.stack([table[name].to_numpy() for name in DENSE], axis=1),
            "labels": np.stack([table[name].to_numpy() for name in LABELS], axis=1),
        }
        whole |= {KEY: table[KEY].to_numpy()} if KEY in columns else {}
        order = np.random.default_rng(1).permutation(table.num_rows)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield {name: torch.from_numpy(cells[chosen]) for name, cells in whole.items()}

    return read_all(job, batches)


if __name__ == "__main__":
    contend(build)
