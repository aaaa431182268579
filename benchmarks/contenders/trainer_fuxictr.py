"""FuxiCTR's multi-task model with its own training epoch: Adam at 1e-3, gradients clipped at 10.

npz      its loader of NumPy archives; the archive is written before the clock starts
parquet  its loader of Parquet, which is Ray Data
fed      Headrace's loader

The package's wheel leaves its model zoo out, so MMoE is put together here of its layers. It turns each number into an
embedding of its own (a line of 16 weights), as all its models do: 480 inputs where others have 330.
"""

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, one_core, torch_of_one_thread
from benchmarks.contenders.loader_ray import ray_of_one_task
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

HOWS = hows_of("npz", "parquet", "fed")
_NO_EVALUATION = 1 << 30  # batches until it would evaluate
_CLIP = 10.0  # its default


def build(job: Job) -> dict[str, Any]:
    """Train one epoch; AUC of the test rows."""
    one_core()
    torch = torch_of_one_thread()
    way, seed = asked_way(job)
    features = _feature_map(job.out)
    torch.manual_seed(seed)
    np.random.seed(seed)
    model = _network(torch, features, folder=job.out)
    if way == "npz":
        arrays: dict[str, Any] = read_arrays(job, "train")
        np.savez(job.out / "train.npz", **arrays)
    model._max_gradient_norm, model._total_steps, model._stop_training = _CLIP, 0, False  # as its `fit` does
    with ray_of_one_task() if way == "parquet" else nullcontext():
        job.clock.start()
        model.train_epoch(_batches(job, features, way=way, seed=seed))
        job.clock.stop()
    model.eval()
    return judged(job, lambda batch: torch.cat([*model(columns_of(batch)).values()], dim=1))


def _feature_map(folder: Path) -> Any:
    from fuxictr.features import FeatureMap

    features = FeatureMap("made", str(folder))
    ids = {name: {"type": "categorical", "source": "", "vocab_size": count} for name, count in vocabularies()}
    features.features = OrderedDict(ids | {name: {"type": "numeric", "source": ""} for name in DENSE})
    features.labels = list(LABELS)
    features.num_fields = features.get_num_fields()
    features.set_column_index()
    return features


def _network(torch: Any, features: Any, *, folder: Path) -> Any:
    """MMoE of FuxiCTR's parts: its embedding, blocks, losses, optimiser and initial weights."""
    from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
    from fuxictr.pytorch.models import MultiTaskModel

    class Mmoe(MultiTaskModel):
        def __init__(self) -> None:
            tasks = ["binary_classification"] * len(LABELS)
            said: dict[str, Any] = {"verbose": 0, "model_root": str(folder), "metrics": ["AUC"]}
            super().__init__(features, task=tasks, num_tasks=len(tasks), eval_steps=_NO_EVALUATION, **said)
            width = EMBEDDING * features.num_fields
            self.embedding_layer = FeatureEmbedding(features, EMBEDDING)
            blocks = torch.nn.ModuleList
            self.experts = blocks(MLP_Block(width, list(EXPERT_LAYERS)) for _ in range(EXPERTS))
            self.gates = blocks(MLP_Block(width, [], output_dim=EXPERTS) for _ in LABELS)
            self.towers = blocks(MLP_Block(EXPERT_LAYERS[-1], list(TOWER_LAYERS), output_dim=1) for _ in LABELS)
            self.compile("adam", "binary_crossentropy", RATE)
            self.reset_parameters()
            self.model_to_device()

        def forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
            x = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)  # (B, 16 (F + N))
            experts = torch.stack([expert(x) for expert in self.experts], dim=1)  # (B, E, H)
            scores = {}
            for name, gate, tower, end in zip(LABELS, self.gates, self.towers, self.output_activation, strict=True):
                mixed = (gate(x).softmax(dim=1).unsqueeze(1) @ experts).squeeze(1)  # (B, H)
                scores[f"{name}_pred"] = end(tower(mixed))
            return scores

    return Mmoe()


def _batches(job: Job, features: Any, *, way: str, seed: int) -> Iterable[dict[str, Any]]:
    if way == "fed":
        labelled = ((batch, batch["labels"].unbind(1)) for batch in fed(job, seed=seed))
        return (columns_of(batch) | dict(zip(LABELS, labels, strict=True)) for batch, labels in labelled)
    from fuxictr.pytorch.dataloaders import RankDataLoader

    made, _ = RankDataLoader(
        features,
        stage="train",
        train_data=str(job.out / "train.npz" if way == "npz" else job.world / "train"),
        batch_size=BATCH,
        shuffle=True,
        data_format=way,
        num_workers=0 if way == "npz" else 1,  # of npz: in this process; of Parquet: batches fetched ahead
    )
    return made  # type: ignore[no-any-return]


if __name__ == "__main__":
    contend(build, hows=HOWS)
