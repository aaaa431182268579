"""Ranks within requests, also of downsampled rows."""

import numpy as np
import numpy.typing as npt

__all__ = ["request_ranks"]

Floats = npt.NDArray[np.float64]


def request_ranks(scores: npt.ArrayLike, *, requests: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Rank of each row within its request: 1 is the best, ties share their mean rank.

    With sample weights the ranks are stretched over all rows that the request had: (rank - 1/2) * w + 1/2, where w is the
    mean weight of its rows. That depends on the order and on the request alone. Estimates that use the weights of single
    rows, such as the weight above a row, are unbiased for each row but differ between a positive and a negative at the
    same place, and a search for weights learns that difference (docs/fusion.md).

    Parameters
    ----------
    scores : (N,) float, NaN where the row takes no part
    requests : (N,) whole numbers
    weights : (N,) positive, default all 1

    Returns
    -------
    (N,) float64, NaN where the score is.

    Raises
    ------
    ValueError
        Shapes differ.
    """
    s, r = np.asarray(scores, dtype=np.float64), np.asarray(requests)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (s.shape == r.shape == w.shape) or s.ndim != 1:
        raise ValueError(f"request_ranks: found shapes {s.shape}, {r.shape}, {w.shape}, wanted one (N,)")
    ranks = np.full(len(s), np.nan)
    taking = np.flatnonzero(~np.isnan(s))
    if len(taking):
        order = taking[np.lexsort((-s[taking], r[taking]))]
        ranks[order] = _in_order(s[order], r[order], weights=w[order])
    return ranks


def _in_order(scores: Floats, requests: npt.NDArray, *, weights: Floats) -> Floats:
    """Ranks of rows that stand by request and falling score."""
    fresh = np.r_[True, requests[1:] != requests[:-1]]  # (N,) first row of a request
    starts = np.flatnonzero(fresh)
    ties = np.flatnonzero(fresh | np.r_[True, scores[1:] != scores[:-1]])  # (G,) first row of each tie
    sizes, counts = np.diff(np.r_[ties, len(scores)]), np.diff(np.r_[starts, len(scores)])
    ranks = np.repeat(ties + (sizes + 1) / 2, sizes) - np.repeat(starts, counts)
    stretch = np.repeat(np.add.reduceat(weights, starts) / counts, counts)
    return (ranks - 0.5) * stretch + 0.5
