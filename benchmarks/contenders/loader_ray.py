"""Ray Data: read_parquet, blocks in random order, iter_torch_batches with a local shuffle.

core  Ray and all its processes on one core, as the other contenders
all   on all cores that there are; Ray may run one task at a time
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, WINDOW, one_core, read_all, rows_files, torch_of_one_thread

__all__ = ["HOWS", "build", "ray_of_one_task"]

HOWS = ("all", "core")


def build(job: Job) -> dict[str, Any]:
    """Read all rows once; Ray is up before the clock starts."""
    if job.how == "core":
        one_core()
    torch_of_one_thread()
    with ray_of_one_task() as ray:

        def batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
            rows = ray.data.read_parquet([str(file) for file in rows_files(job.world)], columns=list(columns))
            mixed = rows.randomize_block_order(seed=1)
            return iter(
                mixed.iter_torch_batches(
                    batch_size=BATCH, local_shuffle_buffer_size=WINDOW, local_shuffle_seed=1, device="cpu"
                )
            )

        return read_all(job, batches)


@contextmanager
def ray_of_one_task() -> Iterator[Any]:
    """The module ray, its processes up, silent, one task at a time; they end and leave no files."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    sockets = tempfile.mkdtemp(prefix="ray-")  # their paths have a length limit that a result folder may exceed
    try:
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=sockets,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        ray.data.range(1).materialize()  # its worker has started before the clock
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(sockets, ignore_errors=True)


if __name__ == "__main__":
    contend(build, hows=HOWS)
