"""Two towers for pre-ranking: a vector of the user for each head, a vector of the item, and their dot products.

Sources: Covington, Adams and Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016; Yi et al.,
"Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019. There is one vector of an
item whatever the heads, so that one table or one index of nearest neighbours serves all; the user's differ.
A dot product holds nothing of both, so inputs of the side "cross" are not used.
Legend: B rows, C items, F looked-up fields, D embedding width, N dense inputs, K width of a vector, T heads.
"""

import torch
from torch import Tensor, nn

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable
from trainer.models.shape import Shape
from trainer.models.sides import SideTower

__all__ = ["TwoTower"]


class TwoTower(nn.Module):
    """Logits of T heads: user vector of the head times item vector over sqrt(K), and the head's bias.

    Parameters
    ----------
    shape : Shape
    heads : int
        T.
    config : TrainConfig
        embedding_dim, expert_layers (of each tower, and the last of them is K) and dropout are used.
    """

    def __init__(self, shape: Shape, *, heads: int, config: TrainConfig) -> None:
        super().__init__()
        width, layers, dropout = config.embedding_dim, config.expert_layers, config.dropout
        self.heads = heads
        self.embedding = EmbeddingTable(shape.rows, width)
        self.user = SideTower(
            shape, side="user", embedding_dim=width, layers=layers, out=heads * layers[-1], dropout=dropout
        )
        self.item = SideTower(shape, side="item", embedding_dim=width, layers=layers, out=layers[-1], dropout=dropout)
        self.bias = nn.Parameter(torch.zeros(heads))

    def start_at(self, logits: Tensor) -> None:
        """Let each head begin at a logit, (T,): nothing is spent on learning the base rate."""
        with torch.no_grad():
            self.bias.copy_(logits)

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        return self.score(self.user_vector(ids, dense), self.item_vector(ids, dense))

    def user_vector(self, ids: Tensor, dense: Tensor) -> Tensor:
        """(B, T, K), once a request; only the user's columns are looked at."""
        return self.user(self.embedding, ids, dense).unflatten(1, (self.heads, -1))

    def item_vector(self, ids: Tensor, dense: Tensor) -> Tensor:
        """(C, K), to be kept in a table; only the item's columns are looked at."""
        return self.item(self.embedding, ids, dense)

    def score(self, user: Tensor, item: Tensor) -> Tensor:
        """Logits (C, T) of C items (C, K) for their users (C, T, K), or for one user (1, T, K)."""
        return (user * item[:, None]).sum(dim=2) * item.shape[1] ** -0.5 + self.bias
