"""Exact ranking and calibration metrics over whole arrays, all with optional sample weights.

With weights = `sample_weight` a metric estimates what it would be on the mature traffic; without, it speaks of the
rows as they are. Undefined values (one class only, no rows) are NaN, never 0 or 0.5.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Gauc", "auc", "correlation", "gauc", "log_loss", "pcoc"]

Floats = npt.NDArray[np.floating]
_EPSILON = 1e-15  # probabilities are kept this far from 0 and 1 before the logarithm


@dataclass(frozen=True)
class Gauc:
    """AUC within groups.

    Attributes
    ----------
    value : float
        Mean of the groups' AUCs, each weighted by the sum of the group's sample weights (its rows, without weights).
    groups, skipped : int
        Groups that entered, and groups of one class (or of no weight on one side), which have no AUC.
    """

    value: float
    groups: int
    skipped: int


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Probability that a positive outranks a negative, ties counting half (Hanley and McNeil, 1982).

    Parameters
    ----------
    labels : (N,) 0/1
    scores : (N,) finite numbers
    weights : (N,) non-negative, default all 1

    Returns
    -------
    float in [0, 1]; NaN where one class is absent.

    Raises
    ------
    ValueError
        Shapes differ, or a score, label or weight is not what it should be.
    """
    y, s, w = _checked(labels, scores, weights=weights)
    found = gauc(y, s, groups=np.zeros(len(y), dtype=np.int64), weights=w)
    return found.value


def gauc(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, groups: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Gauc:
    """AUC within each group (a user), averaged with the weight of the group's rows.

    Parameters
    ----------
    labels, scores, weights : as in `auc`
    groups : (N,) integers
        Rows with the same value are ranked against each other only.
    """
    y, s, w = _checked(labels, scores, weights=weights)
    g = np.asarray(groups)
    if not len(y):
        return Gauc(float("nan"), 0, 0)
    order = np.lexsort((s, g))
    y, s, w, g = y[order], s[order], w[order], g[order]
    group_starts = np.flatnonzero(np.r_[True, g[1:] != g[:-1]])
    tie_starts = np.flatnonzero(np.r_[True, (g[1:] != g[:-1]) | (s[1:] != s[:-1])])
    positive = np.add.reduceat(w * y, tie_starts)
    negative = np.add.reduceat(w * (1 - y), tie_starts)
    group_of_tie = np.searchsorted(group_starts, tie_starts, side="right") - 1
    first_tie = np.searchsorted(tie_starts, group_starts)
    before = np.cumsum(negative) - negative
    before -= before[first_tie][group_of_tie]  # negatives below, within the group
    wins = np.add.reduceat(positive * (before + negative / 2), first_tie)
    pairs = np.add.reduceat(positive, first_tie) * np.add.reduceat(negative, first_tie)
    size = np.add.reduceat(w, group_starts)
    used = pairs > 0
    if not used.any():
        return Gauc(float("nan"), 0, len(used))
    value = float(np.average(wins[used] / pairs[used], weights=size[used]))
    return Gauc(value, int(used.sum()), int((~used).sum()))


def log_loss(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Mean of -(y ln p + (1 - y) ln(1 - p)) in nats; labels may also be probabilities (cross-entropy)."""
    y, p, w = _checked(labels, scores, weights=weights)
    if not w.sum() > 0:
        return float("nan")
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return float(np.average(-(y * np.log(p) + (1 - y) * np.log1p(-p)), weights=w))


def pcoc(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Predicted over actual: sum(w p) / sum(w y); 1 is calibrated on the whole, NaN without positives."""
    y, p, w = _checked(labels, scores, weights=weights)
    actual = float(np.dot(w, y))
    return float(np.dot(w, p)) / actual if actual > 0 else float("nan")


def correlation(left: npt.ArrayLike, right: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Weighted Pearson correlation; NaN where one side does not vary."""
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not w.sum() > 0:
        return float("nan")
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    scale = np.sqrt(np.dot(w, dx * dx) * np.dot(w, dy * dy))
    return float(np.dot(w, dx * dy) / scale) if scale > 0 else float("nan")


def _checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Arrays of float64 and one length, or ValueError."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (y.shape == s.shape == w.shape) or y.ndim != 1:
        raise ValueError(f"metrics: found shapes {y.shape}, {s.shape}, {w.shape}, wanted one (N,)")
    if len(y) and not (np.isfinite(s).all() and y.min() >= 0 and y.max() <= 1 and w.min() >= 0):
        raise ValueError("metrics: found a score that is not finite, a label outside [0, 1] or a negative weight")
    return y, s, w
