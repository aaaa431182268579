"""torch-rechub's MMOE with its MTLTrainer: Adam at 1e-3.

own     its DataGenerator over arrays in memory, as its tutorials of multi-task learning show
stream  its ParquetIterableDataset: faster, but it does not shuffle
fed     Headrace's loader

Without its weight decay (1e-5), which moves every row of every embedding at every step, met in the batch or not.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, COLUMNS, one_core, rows_files, torch_of_one_thread
from benchmarks.contenders.trainer_common import (
    EMBEDDING,
    EXPERT_LAYERS,
    EXPERTS,
    RATE,
    TOWER_LAYERS,
    asked_way,
    columns_of,
    fed,
    hows_of,
    judged,
    read_arrays,
    vocabularies,
)
from benchmarks.trainworlds import DENSE, LABELS

__all__ = ["HOWS", "build"]

HOWS = hows_of("own", "stream", "fed")


def build(job: Job) -> dict[str, Any]:
    """Train one epoch; AUC of the test rows."""
    one_core()
    torch = torch_of_one_thread()
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.multi_task import MMOE
    from torch_rechub.trainers import MTLTrainer

    way, seed = asked_way(job)
    torch.manual_seed(seed)
    sparse = [SparseFeature(name, vocab_size=count, embed_dim=EMBEDDING) for name, count in vocabularies()]
    model = MMOE(
        [*sparse, *(DenseFeature(name) for name in DENSE)],
        ["classification"] * len(LABELS),
        n_expert=EXPERTS,
        expert_params={"dims": list(EXPERT_LAYERS)},
        tower_params_list=[{"dims": list(TOWER_LAYERS)}] * len(LABELS),
    )
    trainer = MTLTrainer(
        model, ["classification"] * len(LABELS), optimizer_params={"lr": RATE, "weight_decay": 0.0}, n_epoch=1
    )
    job.clock.start()
    trainer.train_one_epoch(_batches(job, torch, way=way, seed=seed))
    job.clock.stop()
    model.eval()
    return judged(job, lambda batch: model(columns_of(batch)))


def _batches(job: Job, torch: Any, *, way: str, seed: int) -> Iterable[tuple[dict[str, Any], Any]]:
    """(inputs by column, labels (B, T)) of all training rows."""
    if way == "fed":
        return ((columns_of(batch), batch["labels"]) for batch in fed(job, seed=seed))
    if way == "stream":
        return _streamed(job, torch)
    from torch_rechub.utils.data import DataGenerator

    rows = read_arrays(job, "train")
    labels = np.stack([rows.pop(name) for name in LABELS], axis=1)
    none = {name: cells[:0] for name, cells in rows.items()}
    train, _, _ = DataGenerator(rows, labels).generate_dataloader(
        x_val=none, y_val=labels[:0], x_test=none, y_test=labels[:0], batch_size=BATCH
    )
    return train  # type: ignore[no-any-return]


def _streamed(job: Job, torch: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    from torch_rechub.data.dataset import ParquetIterableDataset

    stream = ParquetIterableDataset(rows_files(job.world, "train"), columns=list(COLUMNS), batch_size=BATCH)
    for batch in torch.utils.data.DataLoader(stream, batch_size=None):
        labels = torch.stack([batch.pop(name) for name in LABELS], dim=1)
        yield batch, labels


if __name__ == "__main__":
    contend(build, hows=HOWS)
