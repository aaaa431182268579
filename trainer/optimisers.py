"""How weights follow their gradients: AdamW for the dense layers, row by row for the embedding table.

A batch touches few rows of a large table. Their gradients come from `EmbeddingTable.gradients`; those of one row are
summed, and only rows that the batch touched are visited. A row that was not touched keeps its bits, and its moments.
Legend: L looked-up ids of a batch, R rows to update, D embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable

__all__ = ["Optimisers", "repeated_sums", "row_sums"]

_EPSILON = 1e-8
_DECAYING = 0.3  # part of a run in which the rates fall to 0
_DECAYS = (0.9, 0.999)  # of Adam's first and second moment


class Optimisers:
    """Both optimisers of a model, on its device: zero_grad, backward of a loss, step.

    Learning rates rise in even steps over the first `warmup_steps` batches (a tenth of the run at most, so that a short
    one is not all warm-up). Where `decay` is set they fall in even steps to 0 over the last 30 % of the run's batches: a
    rate that stays high leaves the level of the predictions to the last few batches.

    `clip_norm` bounds the norm of the dense gradients, taken together. Embedding gradients are not clipped: both rules
    divide a row's gradient by its own size, so a step of a row is bounded as it is (row-wise Adagrad: by
    embedding_learning_rate * sqrt(D)).

    Row-wise Adagrad keeps one number s for each row, the sum of the mean squares of its gradients g (D,):
    s += mean(g^2); row -= rate * g / (sqrt(s) + 1e-8). Source: Naumov et al., "Deep Learning Recommendation Model for
    Personalization and Recommendation Systems", 2019, and FBGEMM's EXACT_ROWWISE_ADAGRAD. Adam keeps two for each cell
    and leaves those of untouched rows alone, as torch.optim.SparseAdam does.

    On a CPU the same batches give the same bits, whatever the number of threads of the update. On a GPU the gradients
    of one row are summed in any order.

    Parameters
    ----------
    model : nn.Module
        With an EmbeddingTable as `embedding`, on the device where it is trained.
    config : TrainConfig
        learning_rate, embedding_learning_rate, embedding_optimiser, weight_decay, warmup_steps, decay and clip_norm are
        used.
    total_steps : int, optional
        Batches of the whole run; without it nothing decays.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, *, total_steps: int | None = None) -> None:
        assert isinstance(model.embedding, EmbeddingTable)
        self.table, self.config, self.steps = model.embedding, config, 0
        self.total_steps = total_steps if config.decay else None
        most = config.warmup_steps if total_steps is None else min(config.warmup_steps, total_steps // 10)
        self.warmup_steps = max(most, 1)
        self.dense = [p for p in model.parameters() if p is not self.table.weight]
        self.adamw = torch.optim.AdamW(
            self.dense, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        weight = self.table.weight.detach()
        self.moments = (
            {"squares": weight.new_zeros(len(weight))}
            if config.embedding_optimiser == "rowwise_adagrad"
            else {"first": torch.zeros_like(weight), "second": torch.zeros_like(weight)}
        )
        self._places = weight.new_zeros(len(weight), dtype=torch.int32) if weight.is_cuda else None

    def zero_grad(self) -> None:
        """Forget the gradients of all weights."""
        self.adamw.zero_grad(set_to_none=True)
        self.table.gradients.clear()

    @torch.no_grad()
    def step(self) -> None:
        """Move all weights by the gradients that backward() left since zero_grad()."""
        self.steps += 1
        share = min(1.0, self.steps / self.warmup_steps)
        if self.total_steps is not None:
            left = 1 - (self.steps - 1) / self.total_steps
            share *= min(1.0, max(0.0, left / _DECAYING))
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.dense, self.config.clip_norm)
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * share
        self.adamw.step()
        if self.table.gradients:
            rows, sums = self._row_sums()
            rate = self.config.embedding_learning_rate * share
            if "squares" in self.moments:
                _rowwise_adagrad(self.table.weight, rows, sums, squares=self.moments["squares"], rate=rate)
            else:
                _adam(self.table.weight, rows, sums, moments=self.moments, rate=rate, steps=self.steps)

    def _row_sums(self) -> tuple[Tensor, Tensor]:
        pairs, width = self.table.gradients, self.table.weight.shape[1]
        ids = _joined([ids.reshape(-1) for ids, _ in pairs])  # (L,)
        values = _joined([gradient.reshape(-1, width) for _, gradient in pairs])  # (L, D)
        return row_sums(ids, values) if self._places is None else repeated_sums(ids, values, places=self._places)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers, for torch.save and torch.load with weights_only."""
        return {"steps": self.steps, "adamw": self.adamw.state_dict(), "moments": dict(self.moments)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; raises ValueError where it is of another optimiser or another size."""
        found = {name: value.shape for name, value in state["moments"].items()}
        wanted = {name: value.shape for name, value in self.moments.items()}
        if found != wanted:
            raise ValueError(f"moments of shapes {found}, wanted {wanted}")
        self.steps = state["steps"]
        self.adamw.load_state_dict(state["adamw"])
        for name, value in state["moments"].items():
            self.moments[name].copy_(value)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def row_sums(ids: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Each row once (R,), and the sum of its gradients (R, D); from ids (L,) and values (L, D), in that order."""
    ordered, order = ids.to(torch.int32).sort(stable=True)
    rows, counts = torch.unique_consecutive(ordered, return_counts=True)
    return rows.long(), functional.embedding_bag(order, values, counts.cumsum(0) - counts, mode="sum")


def repeated_sums(ids: Tensor, values: Tensor, *, places: Tensor) -> tuple[Tensor, Tensor]:
    """Each row as often as it was looked up (L,), each time with the sum of all its gradients (L, D).

    For a GPU: how many rows are distinct would be known only once the device has caught up with the host.

    Parameters
    ----------
    ids : (L,) int64
    values : (L, D)
    places : (rows of the table,) int32
        Scratch that need not be cleared: which of the look-ups of a row gathers its sum.
    """
    places.scatter_(0, ids, torch.arange(len(ids), dtype=torch.int32, device=ids.device))
    place = places.index_select(0, ids)  # (L,)
    return ids, torch.zeros_like(values).index_add_(0, place, values).index_select(0, place)


def _rowwise_adagrad(weight: Tensor, rows: Tensor, sums: Tensor, *, squares: Tensor, rate: float) -> None:
    """Row-wise Adagrad; rows may repeat, each time with the same sums."""
    now = squares.index_select(0, rows) + sums.square().mean(dim=1)  # (R,)
    squares.index_copy_(0, rows, now)
    step = sums * (-rate / (now.sqrt() + _EPSILON))[:, None]  # (R, D)
    weight.index_copy_(0, rows, weight.index_select(0, rows).add_(step))


def _adam(
    weight: Tensor, rows: Tensor, sums: Tensor, *, moments: Mapping[str, Tensor], rate: float, steps: int
) -> None:
    """Adam on the rows alone; rows may repeat, each time with the same sums."""
    first = moments["first"].index_select(0, rows).lerp_(sums, 1 - _DECAYS[0])  # (R, D)
    second = moments["second"].index_select(0, rows).mul_(_DECAYS[1]).addcmul_(sums, sums, value=1 - _DECAYS[1])
    moments["first"].index_copy_(0, rows, first)
    moments["second"].index_copy_(0, rows, second)
    rate *= (1 - _DECAYS[1] ** steps) ** 0.5 / (1 - _DECAYS[0] ** steps)
    weight.index_copy_(
        0, rows, weight.index_select(0, rows).addcdiv_(first, second.sqrt_().add_(_EPSILON), value=-rate)
    )
