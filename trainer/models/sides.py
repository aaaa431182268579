"""One side of a tower model: its own inputs out of all, and a network over them.

Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X width of a side's input row, K width of what
comes out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.models.parts import EmbeddingTable, InputRow, mlp
from trainer.models.shape import Shape, Side

__all__ = ["SideTower"]


class SideTower(nn.Module):
    """(B, K) from the inputs of one side; the columns of others may hold anything.

    A side without inputs gives the same (B, K) for all rows.

    Parameters
    ----------
    shape : Shape
    side : user, item or cross
    embedding_dim : int
        D.
    layers : ints
        Widths of the layers that a ReLU follows.
    out : int
        K; a last layer without a ReLU and without a bias.
    dropout : float in [0, 1)
    """

    fields: Tensor
    numbers: Tensor

    def __init__(
        self, shape: Shape, *, side: Side, embedding_dim: int, layers: Sequence[int], out: int, dropout: float
    ) -> None:
        super().__init__()
        fields, numbers = shape.of_side(side)
        self.register_buffer("fields", torch.tensor(fields, dtype=torch.int64), persistent=False)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.row = InputRow(len(fields) * embedding_dim, len(numbers))
        self.hidden = mlp((self.row.width, *layers), dropout=dropout)
        self.out = nn.Linear(layers[-1], out, bias=False)

    def forward(self, table: EmbeddingTable, ids: Tensor, dense: Tensor) -> Tensor:
        looked = table(ids.index_select(1, self.fields))  # (B, own F D)
        x = self.row(looked, dense.index_select(1, self.numbers))  # (B, X)
        return self.out(self.hidden(x))  # (B, K)
