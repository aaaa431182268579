"""NDCG@k of one score within requests, for graded gains, with ties that do not depend on the order of rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.metrics.checks import Floats, checked, group_ids
from trainer.metrics.ordering import Keys, float_keys, grouped, run_starts, stable_order, sums_before

__all__ = ["Ndcg", "ndcg_at_k"]


@dataclass(frozen=True)
class Ndcg:
    """NDCG@k: the mean over `requests` requests; `skipped` more had no gain to be ranked, and so no NDCG."""

    value: float
    requests: int
    skipped: int


def ndcg_at_k(
    gains: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    requests: npt.ArrayLike,
    k: int,
    weights: npt.ArrayLike | None = None,
) -> Ndcg:
    """Mean over requests of DCG@k / ideal DCG@k, with DCG@k = sum over ranks r <= k of gain / log2(r + 1).

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with the gain as it is given
    (a utility; no 2^g - 1). Where scores tie, it is the expected DCG over all orders of the tied rows: each gets the mean
    discount of the ranks that they share (McSherry and Najork, ECIR 2008).

    Parameters
    ----------
    gains : (N,) numbers >= 0, or NaN where a row is left out
    scores : (N,) finite numbers, larger is better
    requests : (N,) integers
        Rows with the same value are ranked against each other.
    k : int >= 1
    weights : (N,) non-negative, default all 1
        A row of weight w stands for w rows of the same gain and score: ranks are then those of the traffic. Every
        request counts the same.

    Returns
    -------
    Ndcg, value NaN where no request has a gain.

    Raises
    ------
    ValueError
        Shapes differ, k is below 1, or a number is not what it should be.
    """
    if k < 1:
        raise ValueError(f"ndcg_at_k: found k = {k}, wanted at least 1")
    y, s, w, kept = checked(gains, scores, weights=weights, most=float("inf"))
    ids = group_ids(requests, kept=kept)
    blocks = [_of_requests(codes, *columns, k=k) for codes, columns in grouped(ids, y, s, w)]
    found = np.concatenate(blocks) if blocks else np.empty(0)
    used = found[~np.isnan(found)]
    return Ndcg(float(used.mean()) if len(used) else float("nan"), len(used), len(found) - len(used))


def _of_requests(codes: Keys, y: Floats, s: Floats, w: Floats, *, k: int) -> Floats:
    """(requests of the block,) NDCG@k, NaN without gain."""
    found = _dcg(codes, y, order_of=s, w=w, k=k)
    ideal = _dcg(codes, y, order_of=y, w=w, k=k)
    return np.divide(found, ideal, out=np.full(len(ideal), np.nan), where=ideal > 0)


def _dcg(codes: Keys, y: Floats, *, order_of: Floats, w: Floats, k: int) -> Floats:
    """(requests of the block,) expected DCG@k of the rows in descending order of `order_of`."""
    order = stable_order(codes, float_keys(order_of, descending=True))
    ties = run_starts(codes, order_of[order])
    weight, gain = np.add.reduceat(w[order], ties), np.add.reduceat((w * y)[order], ties)
    first = np.searchsorted(ties, run_starts(codes))
    above = sums_before(weight, first)
    # Sum of the discounts of the first x ranks; between whole numbers it is a straight line, so that a row of weight 1/2
    # has half a rank.
    ranks = np.arange(k + 1)
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(ranks[1:] + 1))]
    shared = np.interp(above + weight, ranks, discounts) - np.interp(above, ranks, discounts)
    mean = np.divide(gain, weight, out=np.zeros(len(gain)), where=weight > 0)
    return np.add.reduceat(mean * shared, first)
