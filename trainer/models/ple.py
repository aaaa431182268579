"""Progressive layered extraction: experts of each head's own beside shared ones, a gate for each, in levels.

Source: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
Recommendations", RecSys 2020. One level alone is that paper's CGC.
Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X width of an input row, E experts of a group,
H1 and H width of an expert's first and last layer, T heads, G = T + 1 groups: one for each head, then the shared one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable, InputRow, Parallel, gate_softmax
from trainer.models.shape import Shape

__all__ = ["LEVELS", "Ple"]

LEVELS = 2


class _Level(nn.Module):
    """Experts and gates of one level, from the first layer on."""

    unseen: Tensor

    def __init__(self, groups: int, *, last: bool, config: TrainConfig) -> None:
        super().__init__()
        self.count, self.hidden = config.experts, config.expert_layers[0]
        self.gate_dropout, self.dropout = config.gate_dropout, config.dropout
        self.experts = Parallel(groups * self.count, config.expert_layers, dropout=config.dropout, last_relu=True)
        mixes = groups - 1 if last else groups  # after the last level nobody asks for the shared group
        unseen = torch.ones(mixes, groups, self.count, dtype=torch.bool)
        for group in range(groups - 1):
            unseen[group, [group, -1]] = False  # a head sees its own experts and the shared ones
        unseen[groups - 1 :] = False  # the shared group sees all
        self.register_buffer("unseen", unseen.flatten(1), persistent=False)  # (G or T, G E)

    def forward(self, first: Tensor) -> Tensor:
        """What goes to the next level, (G, B, H), after the last to the towers, (T, B, H); from (G, B, E H1 + G E)."""
        hidden = functional.dropout(first[..., : self.count * self.hidden].relu(), self.dropout, self.training)
        hidden = hidden.unflatten(2, (self.count, -1)).transpose(1, 2).flatten(0, 1)  # (G E, B, H1)
        experts = self.experts(hidden).transpose(0, 1)  # (B, G E, H)
        dropout = self.gate_dropout if self.training else 0.0
        return (self.weights(first, dropout=dropout) @ experts).transpose(0, 1)  # (B, G, G E) @ (B, G E, H)

    def weights(self, first: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Weights of all experts for each gate, (B, G or T, G E), 0 where it cannot see; from (G, B, E H1 + G E)."""
        gates = first[: len(self.unseen), :, self.count * self.hidden :].transpose(0, 1)
        return gate_softmax(gates, dropout=dropout, unseen=self.unseen)


class Ple(nn.Module):
    """Logits of T heads from looked-up ids and dense numbers.

    Parameters
    ----------
    shape : Shape
    heads : int
        T.
    config : TrainConfig
        embedding_dim, experts (of each head, and as many shared), expert_layers, tower_layers, gate_dropout and dropout
        are used.
    """

    def __init__(self, shape: Shape, *, heads: int, config: TrainConfig) -> None:
        super().__init__()
        self.groups = heads + 1
        self.embedding = EmbeddingTable(shape.rows, config.embedding_dim)
        self.row = InputRow(shape.fields * config.embedding_dim, shape.dense)
        out = config.experts * config.expert_layers[0] + self.groups * config.experts  # first layers, then a gate
        self.first = nn.Linear(self.row.width, self.groups * out, bias=False)
        between = (config.expert_layers[-1], out)
        self.between = nn.ModuleList(
            Parallel(self.groups, between, dropout=0.0, last_relu=False) for _ in range(LEVELS - 1)
        )
        self.levels = nn.ModuleList(_Level(self.groups, last=i + 1 == LEVELS, config=config) for i in range(LEVELS))
        tower = (config.expert_layers[-1], *config.tower_layers, 1)
        self.towers = Parallel(heads, tower, dropout=config.dropout, last_relu=False)

    def start_at(self, logits: Tensor) -> None:
        """Let each head begin at a logit, (T,): nothing is spent on learning the base rate."""
        with torch.no_grad():
            self.towers.biases[-1].copy_(logits.view(-1, 1, 1))

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        mixed = self.levels[-1](self._last(ids, dense))  # (T, B, H)
        return self.towers(mixed).squeeze(2).T  # (T, B, 1) -> (B, T)

    def gate_weights(self, ids: Tensor, dense: Tensor) -> Tensor:
        """What each head gives each expert of the last level, (B, T, G E), nothing of that level left out.

        Experts stand by group: E of the first head, ..., E of the last head, E shared ones. Those of other heads get 0.
        """
        return self.levels[-1].weights(self._last(ids, dense))  # type: ignore[operator]

    def _last(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Hidden layer before its ReLU and gates of the last level, (G, B, E H1 + G E)."""
        x = self.first(self.row(self.embedding(ids), dense))  # (B, X) -> (B, G (E H1 + G E))
        x = x.unflatten(1, (self.groups, -1)).transpose(0, 1)
        for level, between in zip(self.levels[:-1], self.between, strict=True):
            x = between(level(x))  # (G, B, H) -> (G, B, E H1 + G E)
        return x
