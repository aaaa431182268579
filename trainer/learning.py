"""The inner loop: mini-batches through a model, its losses and its optimisers. Legend: B rows, T heads."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headrace.config.training import TrainConfig
from trainer.facts import Facts
from trainer.heads import head_losses, loss_scales, start_logits, total_loss
from trainer.loader import Tensors
from trainer.optimisers import Optimisers
from trainer.resume import RunState
from trainer.tasks import WATCHED, Plan

__all__ = ["Learner", "learner_for", "run_epoch", "start_at_base_rates"]

_EVERY_S = 0.5  # seconds between two notices: reading a loss waits for the device

Notice = Callable[[RunState], None]


@dataclass(frozen=True)
class Learner:
    """A model with all that a step needs.

    Attributes
    ----------
    body : callable
        The model, compiled where that is asked for: (ids, dense) -> logits (B, T).
    constants, divisors : (T,) float32
        Declared weights of the heads' losses, and what brings them to one scale.
    mean_weight : float
        Mean sample weight of the training rows.
    complete : bool
        No label is NaN.
    """

    model: nn.Module
    body: Callable[[Tensor, Tensor], Tensor]
    optimiser: Optimisers
    plan: Plan
    constants: Tensor
    divisors: Tensor
    mean_weight: float
    complete: bool
    device: str
    bfloat16: bool

    def step(self, rows: Tensors) -> Tensor:
        """One batch: forward, backward, update. Returns the heads' losses (T,) before the update, in nats."""
        self.optimiser.zero_grad()
        with self._precision():
            logits = self.body(rows["ids"], rows["dense"])  # (B, T)
        losses = head_losses(
            logits.float(),
            rows["labels"],
            heads=self.plan.heads,
            weight=rows["weight"],
            watch=self.plan.watch,
            mean_weight=self.mean_weight,
            complete=self.complete,
        )
        variances = getattr(self.model, "log_variances", None)
        total_loss(losses / self.divisors, weights=self.constants, log_variances=variances).backward()
        self.optimiser.step()
        return losses.detach()

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, dtype=torch.bfloat16) if self.bfloat16 else nullcontext()


def learner_for(
    model: nn.Module, plan: Plan, *, facts: Facts, config: TrainConfig, device: str, total_steps: int | None = None
) -> Learner:
    """Everything that a step of training `model`, already on `device`, needs; `total_steps` of the whole run."""
    means, deviations = _moments(plan, facts)
    scales = loss_scales(plan.heads, means=means, deviations=deviations, watch=plan.watch)
    constants = [config.heads.weights.get(name, 1.0) for name in plan.names]
    return Learner(
        model=model,
        body=torch.compile(model) if config.compile else model,
        optimiser=Optimisers(model, config, total_steps=total_steps),
        plan=plan,
        constants=torch.tensor(constants, device=device),
        divisors=torch.tensor(scales, device=device),
        mean_weight=facts.weight / facts.rows,
        complete=not any(name in WATCHED for name in plan.names),
        device=device,
        bfloat16=config.precision == "bfloat16",
    )


def start_at_base_rates(model: nn.Module, plan: Plan, *, facts: Facts) -> None:
    """Let each head begin at the best that a constant can do: nothing is spent on learning the base rate."""
    model.start_at(start_logits(plan.heads, means=_moments(plan, facts)[0], watch=plan.watch))  # type: ignore[operator]


def _moments(plan: Plan, facts: Facts) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of what each head learns, over the training rows to which it applies."""
    means, deviations = [], []
    for head in plan.heads:
        if head.name in WATCHED:
            mean, deviation = facts.watched[head.name].mean, facts.watched[head.name].deviation
        else:
            mean = facts.base_rate(head.name, weighted=head.weighted)
            deviation = (mean * (1 - mean)) ** 0.5
        means.append(mean)
        deviations.append(deviation)
    return means, deviations


def run_epoch(
    learner: Learner,
    batches: Iterator[tuple[int, Tensors]],
    *,
    state: RunState,
    notice: Notice,
    save: Callable[[RunState], None],
    save_every: int | None,
) -> dict[str, float]:
    """The rest of an epoch, from `state.batch` on; returns the mean loss of each head over the whole of it.

    A head's mean is over the rows to which it applies, batch by batch, each batch weighed by its rows.
    """
    learner.model.train()
    sums, said = state.sums.to(learner.device), time.monotonic()
    for number, rows in batches:
        sums += learner.step(rows).double() * len(rows["weight"])
        state.batch, state.rows = number + 1, state.rows + len(rows["weight"])
        saving = save_every is not None and state.batch % save_every == 0
        if saving or time.monotonic() - said > _EVERY_S:
            state.sums, said = sums.cpu(), time.monotonic()
            notice(state)
        if saving:
            save(state)
    state.sums = sums.cpu()
    notice(state)
    return dict(zip(learner.plan.names, (state.sums / state.rows).tolist(), strict=True))
