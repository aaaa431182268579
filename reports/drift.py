"""How far a day is from the days before it: PSI and Jensen-Shannon over aligned bins, and the change of coverage. Numpy only."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned_bins", "difference_interval", "psi_js"]

Floats = NDArray[np.float64]
_PARTS = 10
_LEAST = 1e-4  # share that an empty part counts as in PSI, so that it stays finite
_Z = 1.959963984540054


def aligned_bins(
    codes: NDArray[np.integer], weights: Floats, reference_codes: NDArray[np.integer], reference_weights: Floats
) -> tuple[Floats, Floats]:
    """Weights of both in the same parts: bins put together so that each part holds about a tenth of the reference.

    Parameters
    ----------
    codes, reference_codes : bins in ascending order (reports.bins), of the same width
    weights, reference_weights : weight in each

    Returns
    -------
    (now, reference) : arrays of one length, at most 13. Zero is a part of its own: it tells no event from few. A number
        outside what the reference holds falls into the part beside it.
    """
    here, before = np.asarray(codes, dtype=np.int64), np.asarray(reference_codes, dtype=np.int64)
    middle = np.cumsum(reference_weights) - reference_weights / 2
    tenths = np.floor(middle / reference_weights.sum() * _PARTS)
    firsts = before[1:][np.diff(tenths) > 0]
    cuts = np.unique(np.concatenate([firsts, [0, 1]]))
    now = np.bincount(np.searchsorted(cuts, here, side="right"), weights, minlength=len(cuts) + 1)
    reference = np.bincount(np.searchsorted(cuts, before, side="right"), reference_weights, minlength=len(cuts) + 1)
    return now.astype(np.float64), reference.astype(np.float64)


def psi_js(now: Floats, reference: Floats) -> tuple[float | None, float | None]:
    """Population stability index, and Jensen-Shannon divergence in bits (0 to 1); None where either has no weight.

    PSI = sum (p - q) ln(p / q) (Siddiqi 2006), shares below 1e-4 counted as 1e-4; JS = H((p + q) / 2) - (H(p) + H(q)) / 2
    (Lin 1991).
    """
    if not (now.sum() > 0 and reference.sum() > 0):
        return None, None
    p, q = now / now.sum(), reference / reference.sum()
    used = (p > 0) | (q > 0)
    floor_p, floor_q = np.maximum(p[used], _LEAST), np.maximum(q[used], _LEAST)
    psi = float(((floor_p - floor_q) * np.log(floor_p / floor_q)).sum())
    js = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return psi, min(max(js, 0.0), 1.0)


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


def difference_interval(p1: float, n1: float, p0: float, n0: float) -> tuple[float, float, float]:
    """p1 - p0 and its 95 % interval, of shares over n1 and n0 (effective) rows: Newcombe 1998, method 10."""
    low1, high1 = _wilson(p1, n1)
    low0, high0 = _wilson(p0, n0)
    change = p1 - p0
    low = change - math.hypot(p1 - low1, high0 - p0)
    high = change + math.hypot(high1 - p1, p0 - low0)
    return change, max(low, -1.0), min(high, 1.0)


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927)."""
    if rows <= 0:
        return 0.0, 1.0
    square = _Z * _Z
    middle = share + square / (2 * rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows * rows))
    return max((middle - half) / (1 + square / rows), 0.0), min((middle + half) / (1 + square / rows), 1.0)
