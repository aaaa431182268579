"""Multi-gate mixture of experts: one embedding table, shared experts, a gate and a tower for each head.

Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018.
Dropout on the gates' softmax, renormalised, keeps them from settling on one expert: Zhao et al., "Recommending What
Video to Watch Next", RecSys 2019, section 4.2.
Legend: B rows, F looked-up fields, D embedding width, N dense inputs, X = F D + N, E experts, H width of an expert,
T heads.
"""

import torch
from torch import Tensor, nn

__all__ = ["Mmoe"]

_EXPERT = (128, 64)  # widths of an expert's two layers
_TOWER = 32


class Mmoe(nn.Module):
    """Logits of T heads from looked-up ids and dense numbers.

    Parameters
    ----------
    rows : int
        Rows of the embedding table: the buckets of all fields.
    fields, dense : int
        F and N.
    heads : int
        T.
    embedding_dim, experts : int
        D and E.
    gate_dropout : float in [0, 1)
        Probability with which an expert is left out of a gate while training.
    """

    def __init__(
        self, *, rows: int, fields: int, dense: int, heads: int, embedding_dim: int, experts: int, gate_dropout: float
    ) -> None:
        super().__init__()
        width = fields * embedding_dim + dense
        # Sparse gradients: a batch touches few of the rows, and a dense optimiser step would visit them all.
        self.embedding = nn.Embedding(rows, embedding_dim, sparse=True)
        nn.init.normal_(self.embedding.weight, std=0.01)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, _EXPERT[0]), nn.ReLU(), nn.Linear(*_EXPERT), nn.ReLU())
            for _ in range(experts)
        )
        self.gates = nn.Linear(width, heads * experts)
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(_EXPERT[1], _TOWER), nn.ReLU(), nn.Linear(_TOWER, 1)) for _ in range(heads)
        )
        self.gate_dropout = gate_dropout

    def start_at(self, rates: Tensor) -> None:
        """Let each head begin at its share of positives, (T,) in (0, 1): nothing is spent on learning the base rate."""
        with torch.no_grad():
            for tower, logit in zip(self.towers, torch.logit(rates), strict=True):
                final = tower[-1]  # type: ignore[index]
                final.bias.fill_(logit.item())

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits (B, T) from ids (B, F) int64, rows of the table, and dense (B, N) float32."""
        x = torch.cat([self.embedding(ids).flatten(1), dense], dim=1)  # (B, X)
        experts = torch.stack([expert(x) for expert in self.experts], dim=1)  # (B, E, H)
        gates = self.gates(x).view(len(x), len(self.towers), len(self.experts))  # (B, T, E)
        mixed = self._drop(gates.softmax(dim=2)) @ experts  # (B, T, E) @ (B, E, H) -> (B, T, H)
        return torch.cat([tower(mixed[:, t]) for t, tower in enumerate(self.towers)], dim=1)  # (B, T)

    def gate_means(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Mean weight that each head gives each expert, (T, E); rows near a single 1 are polarised."""
        x = torch.cat([self.embedding(ids).flatten(1), dense], dim=1)  # (B, X)
        return self.gates(x).view(len(x), len(self.towers), len(self.experts)).softmax(dim=2).mean(dim=0)

    def _drop(self, weights: Tensor) -> Tensor:
        """Leave experts out of (B, T, E) while training; what is left sums to 1 again, and where nothing is, all stay."""
        if not self.training or self.gate_dropout == 0:
            return weights
        kept = weights * (torch.rand_like(weights) >= self.gate_dropout)
        total = kept.sum(dim=2, keepdim=True)  # (B, T, 1)
        return torch.where(total > 0, kept / total.clamp_min(1e-12), weights)
