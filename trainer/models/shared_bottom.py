"""Shared bottom: one embedding table, one network for all heads, a tower for each head.

Source: Caruana, "Multitask Learning", Machine Learning 28, 1997.
Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X width of an input row, H width of the bottom's
last layer, T heads.
"""

import torch
from torch import Tensor, nn

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable, InputRow, Parallel, mlp
from trainer.models.shape import Shape

__all__ = ["SharedBottom"]


class SharedBottom(nn.Module):
    """Logits of T heads from looked-up ids and dense numbers.

    Parameters
    ----------
    shape : Shape
    heads : int
        T.
    config : TrainConfig
        embedding_dim, expert_layers (the bottom), tower_layers and dropout are used.
    """

    def __init__(self, shape: Shape, *, heads: int, config: TrainConfig) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = EmbeddingTable(shape.rows, config.embedding_dim)
        self.row = InputRow(shape.fields * config.embedding_dim, shape.dense)
        self.bottom = mlp((self.row.width, *config.expert_layers), dropout=config.dropout)
        tower = (config.expert_layers[-1], *config.tower_layers, 1)
        self.towers = Parallel(heads, tower, dropout=config.dropout, last_relu=False)

    def start_at(self, logits: Tensor) -> None:
        """Let each head begin at a logit, (T,): nothing is spent on learning the base rate."""
        with torch.no_grad():
            self.towers.biases[-1].copy_(logits.view(-1, 1, 1))

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        x = self.row(self.embedding(ids), dense)  # (B, X)
        shared = self.bottom(x).expand(self.heads, -1, -1)  # (B, H) -> (T, B, H)
        return self.towers(shared).squeeze(2).T  # (T, B, 1) -> (B, T)
