"""Multi-gate mixture of experts: one embedding table, shared experts, a gate and a tower for each head.

Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018.
The first layers of all experts and all gates are one matrix product; what follows is batched over experts, then heads.
Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X width of an input row, E experts, H1 and H
width of an expert's first and last layer, T heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable, InputRow, Parallel, gate_softmax
from trainer.models.shape import Shape

__all__ = ["Mmoe"]


class Mmoe(nn.Module):
    """Logits of T heads from looked-up ids and dense numbers.

    Parameters
    ----------
    shape : Shape
    heads : int
        T.
    config : TrainConfig
        embedding_dim, experts, expert_layers, tower_layers, gate_dropout and dropout are used.
    """

    def __init__(self, shape: Shape, *, heads: int, config: TrainConfig) -> None:
        super().__init__()
        self.heads, self.count, self.hidden = heads, config.experts, config.expert_layers[0]
        self.gate_dropout, self.dropout = config.gate_dropout, config.dropout
        self.embedding = EmbeddingTable(shape.rows, config.embedding_dim)
        self.row = InputRow(shape.fields * config.embedding_dim, shape.dense)
        self.first = nn.Linear(self.row.width, self.count * self.hidden + heads * self.count, bias=False)
        self.experts = Parallel(self.count, config.expert_layers, dropout=config.dropout, last_relu=True)
        tower = (config.expert_layers[-1], *config.tower_layers, 1)
        self.towers = Parallel(heads, tower, dropout=config.dropout, last_relu=False)

    def start_at(self, logits: Tensor) -> None:
        """Let each head begin at a logit, (T,): nothing is spent on learning the base rate."""
        with torch.no_grad():
            self.towers.biases[-1].copy_(logits.view(-1, 1, 1))

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        hidden, gates = self._first(ids, dense)  # (B, E H1), (B, T, E)
        hidden = functional.dropout(hidden.relu(), self.dropout, self.training)
        experts = self.experts(hidden.unflatten(1, (self.count, -1)).transpose(0, 1))  # (E, B, H)
        weights = gate_softmax(gates, dropout=self.gate_dropout if self.training else 0.0)  # (B, T, E)
        mixed = weights @ experts.transpose(0, 1)  # (B, T, E) @ (B, E, H) -> (B, T, H)
        return self.towers(mixed.transpose(0, 1)).squeeze(2).T  # (T, B, 1) -> (B, T)

    def gate_weights(self, ids: Tensor, dense: Tensor) -> Tensor:
        """What each head gives each expert, (B, T, E), nothing left out."""
        return self._first(ids, dense)[1].softmax(dim=2)

    def _first(self, ids: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden layer of all experts before its ReLU (B, E H1), and logits of the gates (B, T, E)."""
        x = self.first(self.row(self.embedding(ids), dense))  # (B, X) -> (B, E H1 + T E)
        hidden, gates = x.split([self.count * self.hidden, self.heads * self.count], dim=1)
        return hidden, gates.unflatten(1, (self.heads, self.count))
