"""Headrace's own MMoE, loop and loader (trainer/), as conf/model.yaml sets them, but for one epoch.

defaults  AdamW at 0.002 and row-wise Adagrad at 0.05 for the embeddings, 100 batches of warm-up, gates with dropout
adam      Adam at 1e-3 for all, from the first batch, no dropout: what the peers do
"""

import importlib
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import one_core, rows_files, torch_of_one_thread
from benchmarks.contenders.trainer_common import (
    EMBEDDING,
    EXPERT_LAYERS,
    EXPERTS,
    RATE,
    TOWER_LAYERS,
    asked_way,
    fed,
    hows_of,
    judged,
)
from benchmarks.trainworlds import DENSE, IDS, LABELS, VOCABULARIES
from headrace.config import load_config
from headrace.config.training import TrainConfig

__all__ = ["HOWS", "build"]

HOWS = hows_of("defaults", "adam")
_ADAM = {
    "learning_rate": RATE,
    "embedding_learning_rate": RATE,
    "embedding_optimiser": "adam",
    "warmup_steps": 0,
    "gate_dropout": 0.0,
}


def build(job: Job) -> dict[str, Any]:
    """Train one epoch; AUC of the test rows."""
    one_core()
    torch = torch_of_one_thread()
    from trainer.learning import learner_for, run_epoch, start_at_base_rates
    from trainer.models import Shape, Side, build_model
    from trainer.resume import RunState

    importlib.import_module("trainer.loader")
    way, seed = asked_way(job)
    config, plan = _config(way, seed=seed), _plan()
    torch.manual_seed(seed)
    cross: Side = "cross"  # only networks of towers ask
    fields, numbers = len(IDS), len(DENSE)
    shape = Shape(sum(VOCABULARIES), fields, numbers, (cross,) * fields, (cross,) * numbers)
    model = build_model(shape, heads=len(LABELS), config=config)
    job.clock.start()
    facts = _counted(job)
    start_at_base_rates(model, plan, facts=facts)
    steps = -(-facts.rows // config.batch_size)
    learner = learner_for(model, plan, facts=facts, config=config, device="cpu", total_steps=steps)
    offsets = torch.from_numpy(np.cumsum([0, *VOCABULARIES[:-1]]))  # (F,): all ids are rows of one table
    batches = ((number, _row(torch, batch, offsets=offsets)) for number, batch in enumerate(fed(job, seed=seed)))
    state = RunState("", sums=torch.zeros(len(LABELS), dtype=torch.float64))
    run_epoch(learner, batches, state=state, notice=_unsaid, save=_unsaid, save_every=None)
    job.clock.stop()
    model.eval()
    return judged(job, lambda batch: model(batch["ids"] + offsets, batch["dense"]))


def _config(way: str, *, seed: int) -> TrainConfig:
    """The shipped configuration, with the architecture of all contenders."""
    shape = {"model": "mmoe", "embedding_dim": EMBEDDING, "experts": EXPERTS}
    shape |= {"expert_layers": EXPERT_LAYERS, "tower_layers": TOWER_LAYERS}
    changes = shape | {"epochs": 1, "seed": seed, "device": "cpu"} | (_ADAM if way == "adam" else {})
    return load_config().train.model_copy(update=changes)


def _plan() -> Any:
    """Four binary heads, nothing sampled."""
    from trainer.heads import Head
    from trainer.tasks import Plan

    heads = tuple(Head(label, "binary", label) for label in LABELS)
    return Plan(LABELS, heads, None, negative_rate=1.0, positive_rate=1.0, positive=LABELS, dropped={})


def _counted(job: Job) -> Any:
    """Rows and positives, from which each head's start follows; within the clock, as fitting is part of training."""
    from trainer.facts import Facts

    facts = Facts(positives=dict.fromkeys(LABELS, 0))
    for file in rows_files(job.world, "train"):
        labels = pq.read_table(file, columns=list(LABELS), use_threads=False)
        facts.rows += labels.num_rows
        for name in LABELS:
            facts.positives[name] += int(labels[name].to_numpy().sum(dtype=np.int64))
    facts.weight = float(facts.rows)
    return facts


def _row(torch: Any, batch: dict[str, Any], *, offsets: Any) -> dict[str, Any]:
    return batch | {"ids": batch["ids"] + offsets, "weight": torch.ones(len(batch["ids"]), dtype=torch.float64)}


def _unsaid(state: Any) -> None:
    """Nothing is shown and nothing saved."""


if __name__ == "__main__":
    contend(build, hows=HOWS)
