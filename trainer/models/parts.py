"""What the networks are made of: the embedding table, the input row, layers side by side, gates.

Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X width of an input row, G layers side by side,
E experts, T heads.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EmbeddingTable", "InputRow", "Parallel", "gate_softmax", "mlp"]

_EMBEDDING_STD = 0.01
_ALIGNED = 16  # floats; a matrix product whose width is no multiple of it takes up to half as long again


class _LookUp(torch.autograd.Function):
    """Rows of a table; the way back leaves their gradient beside the table and makes none of the table's size."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, gradients: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.ids, ctx.gradients = ids, gradients
        return weight.index_select(0, ids.reshape(-1)).view(len(ids), ids.shape[1] * weight.shape[1])  # (B, F D)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:  # type: ignore[override]
        ctx.gradients.append((ctx.ids, gradient))
        return None, None, None


class EmbeddingTable(nn.Module):
    """One table for all fields: ids (B, F) int64 to rows side by side, (B, F D).

    `weight.grad` stays None. What backward() finds is in `gradients`, pairs of ids (B, F) and their gradient (B, F D),
    one for each look-up since the list was last cleared; `trainer.optimisers` takes them from there.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        if rows >= 2**31:
            raise ValueError(f"{rows} rows, wanted fewer than 2^31")
        self.weight = nn.Parameter(torch.empty(rows, width).normal_(std=_EMBEDDING_STD))
        self.gradients: list[tuple[Tensor, Tensor]] = []

    @torch.compiler.disable
    def forward(self, ids: Tensor) -> Tensor:
        return _LookUp.apply(self.weight, ids, self.gradients)


class InputRow(nn.Module):
    """Embeddings (B, F D) and dense (B, N) side by side, then a 1, then zeros up to a round width: (B, X).

    The 1 makes the bias of the first layer a column of its weights.

    Attributes
    ----------
    width : int
        X.
    """

    rest: Tensor

    def __init__(self, looked: int, dense: int) -> None:
        super().__init__()
        self.width = -(-(looked + dense + 1) // _ALIGNED) * _ALIGNED
        rest = torch.zeros(1, self.width - looked - dense)
        rest[0, 0] = 1
        self.register_buffer("rest", rest, persistent=False)

    def forward(self, looked: Tensor, dense: Tensor) -> Tensor:
        return torch.cat([looked, dense, self.rest.expand(len(dense), -1)], dim=1)  # (B, X)


class Parallel(nn.Module):
    """G chains of layers side by side, as batched products: (G, B, widths[0]) to (G, B, widths[-1]).

    Parameters
    ----------
    groups : int
        G.
    widths : ints
        Of the input and of each layer; with one alone nothing is done.
    dropout : float in [0, 1)
        After each ReLU.
    last_relu : bool
        Whether a ReLU follows the last layer too; one follows every other.
    """

    def __init__(self, groups: int, widths: Sequence[int], *, dropout: float, last_relu: bool) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        # As nn.Linear begins: uniform within 1 / sqrt(inputs).
        self.weights = nn.ParameterList(_uniform(groups, n, out, inputs=n) for n, out in pairs)
        self.biases = nn.ParameterList(_uniform(groups, 1, out, inputs=n) for n, out in pairs)
        self.dropout, self.last_relu = dropout, last_relu

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)  # (G, B, out)
            if self.last_relu or i + 1 < len(self.weights):
                x = functional.dropout(x.relu_(), self.dropout, self.training)
        return x


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape).uniform_(-(inputs**-0.5), inputs**-0.5))


def mlp(widths: Sequence[int], *, dropout: float) -> nn.Sequential:
    """(B, widths[0]) to (B, widths[-1]), a ReLU after each layer; the first layer's bias is left to `InputRow`."""
    layers: list[nn.Module] = []
    for i, (n, out) in enumerate(pairwise(widths)):
        layers += [nn.Linear(n, out, bias=i > 0), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def gate_softmax(logits: Tensor, *, dropout: float, unseen: Tensor | None = None) -> Tensor:
    """Weights (..., E) of the experts, each left out with probability `dropout`; they sum to 1.

    To leave experts out of a softmax and scale the rest to sum to 1 is to take the softmax of those that are left. Done
    so, it holds even where the rest had rounded to nothing, which is where a gate has settled on one expert. Where all
    would be left out all stay. Source: Zhao et al., "Recommending What Video to Watch Next", RecSys 2019, section 4.2.

    Parameters
    ----------
    logits : (..., E)
    dropout : float in [0, 1)
    unseen : bool, broadcast to (..., E), optional
        Experts that a gate never sees; not all of a gate's.
    """
    if unseen is not None:
        logits = logits.masked_fill(unseen, -torch.inf)
    if dropout > 0:
        out = torch.rand(logits.shape, device=logits.device) < dropout
        gone = out if unseen is None else out | unseen
        logits = logits.masked_fill(out & ~gone.all(dim=-1, keepdim=True), -torch.inf)
    # Over the first dimension it is a fourth of the time of one over a short last dimension.
    return logits.movedim(-1, 0).contiguous().softmax(dim=0).movedim(0, -1)
