"""torch-rechub's stream of Parquet (ParquetIterableDataset) through torch's DataLoader, as its docs show.

It does not shuffle, and makes every column a float32, so that ids above 2^24 are changed; ours here are below.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, one_core, read_all, rows_files, torch_of_one_thread

__all__ = ["build"]


def build(job: Job) -> dict[str, Any]:
    """Read all rows once, in the order of the files."""
    one_core()
    torch = torch_of_one_thread()
    from torch_rechub.data.dataset import ParquetIterableDataset

    def batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        stream = ParquetIterableDataset(rows_files(job.world), columns=list(columns), batch_size=BATCH)
        return iter(torch.utils.data.DataLoader(stream, batch_size=None))

    return read_all(job, batches)


if __name__ == "__main__":
    contend(build)
