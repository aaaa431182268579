"""The inner loop: one pass of mini-batches through a model, its losses and its optimisers."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.batches import Rows
from trainer.checkpoint import Checkpoint
from trainer.scoring import Progress

__all__ = ["head_losses", "optimisers", "run_epoch"]


def optimisers(bundle: Checkpoint) -> list[torch.optim.Optimizer]:
    """AdamW; for the embedding table its sparse kin, which visits only the rows that a batch touched."""
    table = list(bundle.model.embedding.parameters())
    rest = [p for name, p in bundle.model.named_parameters() if not name.startswith("embedding.")]
    rate = bundle.config.learning_rate
    return [torch.optim.AdamW(rest, lr=rate), torch.optim.SparseAdam(table, lr=rate)]


def run_epoch(
    bundle: Checkpoint,
    batches: Iterator[Rows],
    *,
    steps: Sequence[torch.optim.Optimizer],
    mean_weight: float,
    report: tuple[Progress | None, str],
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """One pass. Returns the mean loss of each head, and the gates' means on the last batch."""
    model, plan = bundle.model, bundle.plan
    progress, stage = report
    sums, done, total = torch.zeros(len(plan.heads), dtype=torch.float64), 0, bundle.facts["rows"]
    model.train()
    for rows in batches:
        inputs = torch.from_numpy(rows["ids"]), torch.from_numpy(rows["dense"])
        losses = head_losses(model(*inputs), rows, mean_weight=None if plan.denominator else mean_weight)  # (heads,)
        for optimiser in steps:
            optimiser.zero_grad()
        losses.sum().backward()
        for optimiser in steps:
            optimiser.step()
        sums += losses.detach().double() * len(rows["weight"])
        done += len(rows["weight"])
        if progress:
            progress(stage, done, total, f"loss {sums.sum().item() / done:.4f}")
    with torch.inference_mode():
        gates = model.gate_means(*inputs).tolist()
    return dict(zip(plan.heads, (sums / done).tolist(), strict=True)), dict(zip(plan.heads, gates, strict=True))


def head_losses(logits: Tensor, rows: Rows, *, mean_weight: float | None) -> Tensor:
    """Binary cross-entropy of each head, (heads,); weighted rows are scaled so that the mean weight is 1."""
    losses = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(rows["labels"]), reduction="none")
    if mean_weight is not None:
        losses = losses * torch.from_numpy((rows["weight"] / mean_weight).astype(np.float32))[:, None]
    return losses.mean(dim=0)
