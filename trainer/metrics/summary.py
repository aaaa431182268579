"""All metrics of one head at once: of a probability, and of watch time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.metrics.calibration import log_loss, normalised_entropy, pcoc
from trainer.metrics.ranking import Gauc, auc, gauc
from trainer.metrics.watch import gxauc, mae, mean_ratio, xauc

__all__ = ["BinaryMetrics", "WatchMetrics", "binary_metrics", "watch_metrics"]


@dataclass(frozen=True)
class BinaryMetrics:
    """One probability beside its label; NaN where undefined (one class).

    Attributes
    ----------
    rows, missing : int
        With a label, and without one (NaN), which are left out of everything else.
    positives, rate : float
        Sum of the labels, and their weighted mean.
    auc : float
    gauc_user, gauc_request : Gauc or None
        None where no such ids were given.
    log_loss : float
        Nats.
    normalised_entropy, pcoc : float
    """

    rows: int
    missing: int
    positives: float
    rate: float
    auc: float
    gauc_user: Gauc | None
    gauc_request: Gauc | None
    log_loss: float
    normalised_entropy: float
    pcoc: float


@dataclass(frozen=True)
class WatchMetrics:
    """Watch time beside its estimate; NaN where undefined.

    Attributes
    ----------
    rows, missing : int
        With a label, and without one (NaN), which are left out of everything else.
    mean : float
        Weighted mean of the actual, in its unit.
    mae, mean_ratio, xauc : float
        Mean absolute error in the same unit, predicted / actual, share of pairs in the right order.
    xauc_user : Gauc or None
        None where no ids were given.
    """

    rows: int
    missing: int
    mean: float
    mae: float
    mean_ratio: float
    xauc: float
    xauc_user: Gauc | None


def binary_metrics(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    requests: npt.ArrayLike | None = None,
) -> BinaryMetrics:
    """Every metric of a probability.

    Parameters
    ----------
    labels : (N,) in [0, 1] or NaN
        AUC takes a label between 0 and 1 (a ratio) as that part of a positive.
    scores : (N,) probabilities
    weights : (N,) non-negative, default all 1
    users, requests : (N,) integers, optional

    Raises
    ------
    ValueError
        Shapes differ, or a number is not what it should be.
    """
    y = np.asarray(labels, dtype=np.float64)
    known = ~np.isnan(y)
    return BinaryMetrics(
        rows=int(known.sum()),
        missing=int((~known).sum()),
        positives=float(y[known].sum()),
        rate=_mean(y, weights=weights),
        auc=auc(y, scores, weights=weights),
        gauc_user=None if users is None else gauc(y, scores, groups=users, weights=weights),
        gauc_request=None if requests is None else gauc(y, scores, groups=requests, weights=weights),
        log_loss=log_loss(y, scores, weights=weights),
        normalised_entropy=normalised_entropy(y, scores, weights=weights),
        pcoc=pcoc(y, scores, weights=weights),
    )


def watch_metrics(
    labels: npt.ArrayLike,
    estimates: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
) -> WatchMetrics:
    """Every metric of watch time.

    Parameters
    ----------
    labels : (N,) numbers >= 0, or NaN where there is nothing to watch
    estimates : (N,) in the same unit
    weights : (N,) non-negative, default all 1
    users : (N,) integers, optional

    Raises
    ------
    ValueError
        Shapes differ, or a number is not what it should be.
    """
    t = np.asarray(labels, dtype=np.float64)
    known = ~np.isnan(t)
    return WatchMetrics(
        rows=int(known.sum()),
        missing=int((~known).sum()),
        mean=_mean(t, weights=weights),
        mae=mae(t, estimates, weights=weights),
        mean_ratio=mean_ratio(t, estimates, weights=weights),
        xauc=xauc(t, estimates, weights=weights),
        xauc_user=None if users is None else gxauc(t, estimates, groups=users, weights=weights),
    )


def _mean(values: npt.NDArray[np.float64], *, weights: npt.ArrayLike | None) -> float:
    """Weighted mean of what is not NaN; NaN without weight."""
    known = ~np.isnan(values)
    w = known.astype(np.float64) if weights is None else np.asarray(weights, dtype=np.float64) * known
    return float(np.dot(w, np.where(known, values, 0)) / w.sum()) if w.sum() > 0 else float("nan")
