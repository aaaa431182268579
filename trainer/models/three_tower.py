"""Three towers for pre-ranking: the user's once a request, the item's from a table, a small one over what is of both.

Source: Wang et al., "COLD: Towards the Next Generation of Pre-Ranking System", DLP-KDD 2020, sets top layers over the
joined outputs of the parts. The first of these layers is a sum of one product for each tower, W [u; v; c] = Wu u + Wv v
+ Wc c, so the products with u and v are made with the vectors: what is left for each item is the cross tower, a sum, and
the rest of the top.
Legend: B rows, C items, F looked-up fields, D embedding width, N dense inputs, U width of the top's first layer (1 where
tower_layers is empty), T heads.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config.training import TrainConfig
from trainer.models.parts import EmbeddingTable, Parallel
from trainer.models.shape import Shape
from trainer.models.sides import SideTower

__all__ = ["CROSS_LAYERS", "ThreeTower"]

CROSS_LAYERS = (32,)


class ThreeTower(nn.Module):
    """Logits of T heads from the user's, the item's and the cross inputs.

    Parameters
    ----------
    shape : Shape
    heads : int
        T.
    config : TrainConfig
        embedding_dim, expert_layers (of the user's and the item's tower), tower_layers (the top's) and dropout are used.
    """

    def __init__(self, shape: Shape, *, heads: int, config: TrainConfig) -> None:
        super().__init__()
        self.heads, self.dropout = heads, config.dropout
        top = (*config.tower_layers, 1)
        self.embedding = EmbeddingTable(shape.rows, config.embedding_dim)
        tower = partial(
            SideTower, shape, embedding_dim=config.embedding_dim, out=heads * top[0], dropout=config.dropout
        )
        self.user = tower(side="user", layers=config.expert_layers)
        self.item = tower(side="item", layers=config.expert_layers)
        self.cross = tower(side="cross", layers=CROSS_LAYERS)
        self.bias = nn.Parameter(torch.zeros(heads, 1, top[0]))  # of the top's first layer
        self.top = Parallel(heads, top, dropout=config.dropout, last_relu=False)

    def start_at(self, logits: Tensor) -> None:
        """Let each head begin at a logit, (T,): nothing is spent on learning the base rate."""
        last = self.top.biases[-1] if len(self.top.biases) else self.bias
        with torch.no_grad():
            last.copy_(logits.view(-1, 1, 1))

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        return self.score(self.user_vector(ids, dense), self.item_vector(ids, dense), ids, dense)

    def user_vector(self, ids: Tensor, dense: Tensor) -> Tensor:
        """(B, T U), once a request; only the user's columns are looked at."""
        return self.user(self.embedding, ids, dense)

    def item_vector(self, ids: Tensor, dense: Tensor) -> Tensor:
        """(C, T U), to be kept in a table; only the item's columns are looked at."""
        return self.item(self.embedding, ids, dense)

    def score(self, user: Tensor, item: Tensor, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (C, T) of C items (C, T U) for their users (C, T U), or for one user (1, T U).

        Of ids (C, F) and dense (C, N) only the cross columns are looked at.
        """
        joined = user + item + self.cross(self.embedding, ids, dense)  # (C, T U)
        x = joined.unflatten(1, (self.heads, -1)).transpose(0, 1) + self.bias  # (T, C, U)
        if len(self.top.weights):
            x = self.top(functional.dropout(x.relu_(), self.dropout, self.training))  # (T, C, 1)
        return x.squeeze(2).T  # (C, T)
