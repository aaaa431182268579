"""Hugging Face datasets, in torch's format and batches of its own `iter`.

iterable  an Arrow copy made before the clock starts, as an iterable of shards: shards and a buffer of rows shuffled
stream    the Parquet files as they are, streamed: files and a buffer of rows shuffled
map       the Arrow copy and a permutation of all rows
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import (
    BATCH,
    COLUMNS,
    WINDOW,
    one_core,
    read_all,
    rows_files,
    torch_of_one_thread,
)
from benchmarks.trainworlds import KEY

__all__ = ["HOWS", "build"]

HOWS = ("iterable", "stream", "map")
_SHARDS = 64


def build(job: Job) -> dict[str, Any]:
    """Read all rows once."""
    one_core()
    torch_of_one_thread()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(job.out / "home")
    import datasets

    datasets.disable_progress_bars()
    files = [str(file) for file in rows_files(job.world)]
    cache = str(job.out / "cache")
    whole = None
    if job.how != "stream":
        whole = datasets.load_dataset(
            "parquet", data_files=files, split="train", columns=[*COLUMNS, KEY], cache_dir=cache
        )

    def batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        if whole is None:
            rows = datasets.load_dataset(
                "parquet", data_files=files, split="train", columns=list(columns), streaming=True, cache_dir=cache
            )
            mixed = rows.shuffle(seed=1, buffer_size=WINDOW)
        elif job.how == "iterable":
            rows = whole.select_columns(list(columns)).to_iterable_dataset(num_shards=_SHARDS)
            mixed = rows.shuffle(seed=1, buffer_size=WINDOW)
        else:
            mixed = whole.select_columns(list(columns)).shuffle(seed=1)
        return iter(mixed.with_format("torch").iter(batch_size=BATCH))

    return read_all(job, batches)


if __name__ == "__main__":
    contend(build, hows=HOWS)
