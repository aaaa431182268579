"""A checkpoint as towers: what each of them reads, and their vectors and scores as arrays.

Legend: B rows, G users of a batch, F looked-up fields, N dense inputs, K width of an item's vector, T heads.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from headrace.errors import ConfigError, InputError
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.device import device_of
from trainer.models import ThreeTower, TwoTower
from trainer.prerank.sides import Part, part_of

__all__ = ["Towers", "item_vectors", "open_towers", "tower_logits", "towers_of"]

_BLOCK = 1024  # rows: what is worked on stays in the cache
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Towers:
    """A two- or three-tower model.

    Attributes
    ----------
    checkpoint : Checkpoint
    version : str
        SHA-256 of its weights: vectors of another version mean nothing to this one.
    item : Part
        Columns that an item's vector is made of.
    user : Part
        Columns that a user's vector is made of.
    request : Part
        What has to be there when a request is scored: columns of the user, and for three towers the cross columns.
    """

    checkpoint: Checkpoint
    version: str
    item: Part
    user: Part
    request: Part

    @property
    def model(self) -> TwoTower | ThreeTower:
        """The network."""
        assert isinstance(self.checkpoint.model, TwoTower | ThreeTower)
        return self.checkpoint.model

    @cached_property
    def width(self) -> int:
        """K."""
        fields, dense = self.item.shape
        return item_vectors(self, (np.zeros((1, fields), np.int64), np.zeros((1, dense), np.float32))).shape[1]


def open_towers(path: Path) -> Towers:
    """Read a checkpoint whose model has an item tower; the model is where its configuration says, in evaluation mode.

    Raises
    ------
    ConfigError
        The model has no item tower.
    InputError
        The checkpoint is damaged, or was replaced while it was read.
    """
    version = _version(path)
    loaded = load_checkpoint(path)
    if _version(path) != version:
        raise InputError(
            f"checkpoint {path}", found="another one than a moment ago", wanted="one that stays", remedy="try again"
        )
    if not isinstance(loaded.model, TwoTower | ThreeTower):
        raise ConfigError(
            f"checkpoint {path}",
            found=f"a model of the kind {loaded.config.model}, which has no item tower",
            wanted="two_tower or three_tower",
            remedy="train one for pre-ranking: headrace train ... --set train.model=three_tower",
        )
    loaded.model.to(device_of(loaded.config))
    return towers_of(loaded, version=version)


def towers_of(checkpoint: Checkpoint, *, version: str) -> Towers:
    """A checkpoint of a two- or three-tower model, taken apart."""
    encoder = checkpoint.encoder
    user = part_of(encoder, "user")
    request = user if isinstance(checkpoint.model, TwoTower) else part_of(encoder, "user", "cross")
    return Towers(checkpoint, version, part_of(encoder, "item"), user, request)


def _version(path: Path) -> str:
    """What checkpoint.json says of the weights; empty where there is none, which `load_checkpoint` then explains."""
    try:
        return str(json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def item_vectors(towers: Towers, inputs: tuple[Ids, Floats]) -> Floats:
    """(B, K) from ids (B, F) and dense (B, N); only the item's columns are looked at."""
    with torch.inference_mode():
        return towers.model.item_vector(*_placed(towers, inputs)).float().cpu().numpy()


def tower_logits(
    towers: Towers, inputs: tuple[Ids, Floats], *, items: Callable[[slice], Floats], first: Ids, user_of: Ids
) -> Floats:
    """Logits (B, T) of rows whose items' vectors are known, block by block.

    Parameters
    ----------
    inputs : ids (B, F) and dense (B, N)
        Only the columns of the user, in the rows `first`, and the cross columns are looked at.
    items : callable (slice of b rows) -> their items' vectors (b, K)
    first : (G,) a row of each user
    user_of : (B,) places in `first`
    """
    ids, dense = inputs
    found = [np.empty((0, towers.model.heads), dtype=np.float32)]
    with torch.inference_mode():
        users = towers.model.user_vector(*_placed(towers, (ids[first], dense[first])))  # (G, ...)
        for start in range(0, len(ids), _BLOCK):
            part = slice(start, start + _BLOCK)
            own = user_of[part]
            if (own == own[0]).all():  # the sum itself spreads one user over the rows
                mine = users[int(own[0])][None]
            else:
                mine = users.index_select(0, torch.from_numpy(own).to(users.device))  # (b, ...)
            vectors = torch.from_numpy(items(part)).to(users.device)
            if isinstance(towers.model, ThreeTower):
                logits = towers.model.score(mine, vectors, *_placed(towers, (ids[part], dense[part])))
            else:
                logits = towers.model.score(mine, vectors)
            found.append(logits.float().cpu().numpy())
    return np.concatenate(found)


def _placed(towers: Towers, inputs: tuple[Ids, Floats]) -> tuple[torch.Tensor, torch.Tensor]:
    device = next(towers.model.parameters()).device
    ids, dense = (torch.from_numpy(part).to(device) for part in inputs)
    return ids, dense
