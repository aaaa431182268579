"""How near probabilities come to labels: log loss, normalised entropy, predicted over actual, correlation."""

import numpy as np
import numpy.typing as npt

from trainer.metrics.checks import Floats, checked

__all__ = ["correlation", "log_loss", "normalised_entropy", "pcoc"]

_EPSILON = 1e-15  # probabilities are kept this far from 0 and 1 before the logarithm


def log_loss(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Mean of -(y ln p + (1 - y) ln(1 - p)) in nats; labels may also be probabilities (cross-entropy).

    Parameters
    ----------
    labels : (N,) in [0, 1], or NaN where a row has no label and is left out
    scores : (N,) probabilities
    weights : (N,) non-negative, default all 1

    Returns
    -------
    float >= 0; NaN without rows.

    Raises
    ------
    ValueError
        Shapes differ, or a score, label or weight is not what it should be.
    """
    y, p, w, _ = checked(labels, scores, weights=weights)
    return float(np.average(_entropies(y, p), weights=w)) if w.sum() > 0 else float("nan")


def _entropies(y: Floats, p: Floats) -> Floats:
    """(N,) cross-entropy of each row, nats."""
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def normalised_entropy(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Log loss over the entropy of the mean label: 1 is no better than the mean, 0 is perfect; NaN with one class.

    Source: He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, equation 1. Arguments
    as in `log_loss`.
    """
    y, p, w, _ = checked(labels, scores, weights=weights)
    if not (np.dot(w, y) > 0 and np.dot(w, 1 - y) > 0):
        return float("nan")
    mean = np.array([np.average(y, weights=w)])
    return float(np.average(_entropies(y, p), weights=w) / _entropies(mean, mean)[0])


def pcoc(labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Predicted over actual: sum(w p) / sum(w y); 1 is calibrated on the whole, NaN without positives.

    Arguments as in `log_loss`.
    """
    y, p, w, _ = checked(labels, scores, weights=weights)
    actual = float(np.dot(w, y))
    return float(np.dot(w, p)) / actual if actual > 0 else float("nan")


def correlation(left: npt.ArrayLike, right: npt.ArrayLike, *, weights: npt.ArrayLike | None = None) -> float:
    """Weighted Pearson correlation of two arrays (N,); NaN where one side does not vary."""
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not w.sum() > 0:
        return float("nan")
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    scale = np.sqrt(np.dot(w, dx * dx) * np.dot(w, dy * dy))
    return float(np.dot(w, dx * dy) / scale) if scale > 0 else float("nan")
