"""What every metric asks of its arrays: one length, finite numbers, weights that are none below 0."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Checked", "checked", "group_ids"]

Floats = npt.NDArray[np.float64]


class Checked(NamedTuple):
    """Labels, scores and weights of the rows that have a label, (N,) float64 each, and which those are: (all,) bool."""

    labels: Floats
    scores: Floats
    weights: Floats
    kept: npt.NDArray[np.bool_]


def checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, weights: npt.ArrayLike | None, least: float = 0, most: float = 1
) -> Checked:
    """Arrays of float64 and one length, without the rows whose label is NaN.

    Parameters
    ----------
    labels, scores, weights : (N,), weights None for all 1
    least, most : float
        Range of a label.

    Raises
    ------
    ValueError
        Shapes differ, or a score, label or weight of a row that has a label is not what it should be.
    """
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (y.shape == s.shape == w.shape) or y.ndim != 1:
        raise ValueError(f"metrics: found shapes {y.shape}, {s.shape}, {w.shape}, wanted one (N,)")
    kept = ~np.isnan(y)
    if not kept.all():
        y, s, w = y[kept], s[kept], w[kept]
    if not len(y):
        return Checked(y, s, w, kept)
    if not (np.isfinite(s).all() and np.isfinite(y).all() and y.min() >= least and y.max() <= most):
        raise ValueError(f"metrics: found a score that is not finite, or a label outside [{least:g}, {most:g}]")
    if not (w.min() >= 0 and np.isfinite(w.max())):
        raise ValueError("metrics: found a negative weight, or one that is not finite")
    return Checked(y, s, w, kept)


def group_ids(groups: npt.ArrayLike, *, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Group of each row that is kept, (N,) int64; raises ValueError unless they are whole numbers, one a row."""
    g = np.asarray(groups)
    if g.shape != kept.shape or (len(g) and not np.issubdtype(g.dtype, np.integer)):
        raise ValueError(f"metrics: found groups of shape {g.shape}, {g.dtype}, wanted {kept.shape} whole numbers")
    return (g if kept.all() else g[kept]).astype(np.int64, copy=False)
