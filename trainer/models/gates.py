"""What a model's gates do, summed over batches: whether they share the experts or have settled on one.

Legend: B rows, T heads, E experts.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["DEAD", "POLARISED", "GateStatistics"]

POLARISED = 0.95  # a row whose gate gives one expert more than this has settled
DEAD = 0.01  # an expert that no head gives this much, on the mean over rows


class GateStatistics:
    """Running sums over the gates' weights; nothing waits for the device before `to_dict`."""

    def __init__(self) -> None:
        self.rows = 0
        self._weights: Tensor | float = 0.0  # (T, E)
        self._entropy: Tensor | float = 0.0  # (T,)
        self._polarised: Tensor | float = 0.0  # (T,)

    @torch.no_grad()
    def add(self, weights: Tensor) -> None:
        """Count a batch of weights (B, T, E), not negative and summing to 1 over E."""
        self.rows += len(weights)
        self._weights = self._weights + weights.sum(dim=0, dtype=torch.float64)
        self._entropy = self._entropy + torch.special.entr(weights).sum(dim=(0, 2), dtype=torch.float64)
        self._polarised = self._polarised + (weights.amax(dim=2) > POLARISED).sum(dim=0, dtype=torch.float64)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain numbers.

        Parameters
        ----------
        names : sequence of str
            Of the heads, T.

        Returns
        -------
        rows : int
        dead : list of int
            Experts (from 0) to which no head gives a mean weight of at least DEAD.
        heads : dict of name to
            weights : mean weight of each expert, (E,)
            entropy : mean over rows, in nats; from 0 (one expert) to log(E) (all alike)
            polarised : share of rows where one expert has more than POLARISED

        Raises
        ------
        ValueError
            No rows were added, or the names are not as many as the heads.
        """
        if not isinstance(self._weights, Tensor) or not self.rows:
            raise ValueError("no rows were added")
        means = (self._weights / self.rows).cpu()  # (T, E)
        measures = torch.stack([torch.as_tensor(self._entropy), torch.as_tensor(self._polarised)]).cpu() / self.rows
        heads = {
            name: {"weights": weights, "entropy": entropy, "polarised": share}
            for name, weights, entropy, share in zip(names, means.tolist(), *measures.tolist(), strict=True)
        }
        return {"rows": self.rows, "dead": (means.amax(dim=0) < DEAD).nonzero().squeeze(1).tolist(), "heads": heads}
