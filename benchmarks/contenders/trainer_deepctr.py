"""DeepCTR-Torch's MMOE: Adam at 1e-3, gates without hidden layers.

own  its `fit` over arrays in memory, as its docs show
fed  Headrace's loader, and the steps of its `fit`

Without its penalty on embeddings (1e-5), which sums over every row of every embedding at every step.
"""

from typing import Any

import numpy as np

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, one_core, torch_of_one_thread
from benchmarks.contenders.trainer_common import (
    EMBEDDING,
    EXPERT_LAYERS,
    EXPERTS,
    TOWER_LAYERS,
    asked_way,
    fed,
    hows_of,
    judged,
    read_arrays,
    vocabularies,
)
from benchmarks.trainworlds import DENSE, LABELS

__all__ = ["HOWS", "build"]

HOWS = hows_of("own", "fed")


def build(job: Job) -> dict[str, Any]:
    """Train one epoch; AUC of the test rows."""
    one_core()
    torch = torch_of_one_thread()
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models.multitask.mmoe import MMOE

    way, seed = asked_way(job)
    sparse = [SparseFeat(name, vocabulary_size=count, embedding_dim=EMBEDDING) for name, count in vocabularies()]
    model = MMOE(
        [*sparse, *(DenseFeat(name, 1) for name in DENSE)],
        num_experts=EXPERTS,
        expert_dnn_hidden_units=EXPERT_LAYERS,
        gate_dnn_hidden_units=(),
        tower_dnn_hidden_units=TOWER_LAYERS,
        l2_reg_embedding=0,
        seed=seed,
        task_types=["binary"] * len(LABELS),
        task_names=list(LABELS),
    )
    model.compile("adam", loss=["binary_crossentropy"] * len(LABELS))
    job.clock.start()
    if way == "own":
        rows = read_arrays(job, "train")
        labels = np.stack([rows.pop(name) for name in LABELS], axis=1).astype(np.float32)
        model.fit(rows, labels, batch_size=BATCH, epochs=1, verbose=0)
    else:
        _train(model, torch, job=job, seed=seed)
    job.clock.stop()
    model.eval()
    return judged(job, lambda batch: model(_inputs(torch, batch)))


def _train(model: Any, torch: Any, *, job: Job, seed: int) -> None:
    """The steps of its `fit`, which takes arrays only."""
    model.train()
    for batch in fed(job, seed=seed):
        predicted, labels = model(_inputs(torch, batch)), batch["labels"]
        model.optim.zero_grad()
        losses = [loss(predicted[:, t], labels[:, t], reduction="sum") for t, loss in enumerate(model.loss_func)]
        (sum(losses) + model.get_regularization_loss() + model.aux_loss).backward()
        model.optim.step()


def _inputs(torch: Any, batch: dict[str, Any]) -> Any:
    """Ids and numbers side by side as float32, (B, F + N): it looks columns up by their place."""
    return torch.cat([batch["ids"].float(), batch["dense"]], dim=1)


if __name__ == "__main__":
    contend(build, hows=HOWS)
