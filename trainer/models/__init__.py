"""Networks: tensors in, logits out; each file is readable in one go.

All are nn.Modules with `forward(ids, dense) -> logits (B, T)`, `start_at(logits)` and `.embedding`, an EmbeddingTable.
Those with gates have `gate_weights(ids, dense)`; those with towers `user_vector`, `item_vector` and `score`.
"""

from torch import nn

from headrace.config.training import TrainConfig
from trainer.models.mmoe import Mmoe
from trainer.models.ple import Ple
from trainer.models.shape import Shape, Side
from trainer.models.shared_bottom import SharedBottom
from trainer.models.three_tower import ThreeTower
from trainer.models.two_tower import TwoTower

__all__ = ["Mmoe", "Ple", "Shape", "SharedBottom", "Side", "ThreeTower", "TwoTower", "build_model"]


def build_model(shape: Shape, *, heads: int, config: TrainConfig) -> nn.Module:
    """A freshly initialised network of the kind that `config.model` names.

    Parameters
    ----------
    shape : Shape
    heads : int
        T, at least 1.
    config : TrainConfig
    """
    if heads < 1:
        raise ValueError(f"{heads} heads, wanted at least 1")
    kinds = {
        "shared_bottom": SharedBottom,
        "mmoe": Mmoe,
        "ple": Ple,
        "two_tower": TwoTower,
        "three_tower": ThreeTower,
    }
    return kinds[config.model](shape, heads=heads, config=config)
