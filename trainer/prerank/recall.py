"""How much of a ranker's top a pre-ranker keeps.

recall@k with m kept is the share of the k candidates of a request that the ranker puts first, which are among the m that
the pre-ranker puts first. Tied candidates share the places that are left for them evenly, which is what a random order
among them brings on average. Legend: N candidates, R requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.errors import ConfigError, InputError

__all__ = ["Kept", "Recall", "checked_keep", "recall_of", "top_shares"]

Floats = npt.NDArray[np.float64]
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Kept:
    """One m: the mean of recall over requests, its 95 % interval, and what keeping m at random would reach.

    The interval is the normal one of a mean of independent requests, cut at 0 and 1; NaN of a single request.
    """

    keep: int
    mean: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Recall:
    """Recall of a ranker's top.

    Attributes
    ----------
    top : int
        k.
    by : str
        What both were ordered by: fused, or a head.
    requests, skipped : int
        Requests, and those left out because they have no more candidates than the largest m.
    candidates : float
        Mean number of candidates of a request.
    kept : tuple of Kept
        In the order of m.
    """

    top: int
    by: str
    requests: int
    skipped: int
    candidates: float
    kept: tuple[Kept, ...]


def top_shares(scores: Floats, *, requests: npt.NDArray, top: int) -> Floats:
    """How much of each candidate is among the first `top` of its request, (N,): 1, 0, or a share where it is tied.

    Parameters
    ----------
    scores : (N,), no NaN
    requests : (N,)
    """
    order = np.lexsort((-scores, requests))
    s, r = scores[order], requests[order]
    fresh = np.append(True, r[1:] != r[:-1])[: len(r)]  # first of a request
    ties = np.flatnonzero(fresh | np.append(True, s[1:] != s[:-1])[: len(r)])  # first of each tie
    sizes = np.diff(np.append(ties, len(s)))
    begins = np.maximum.accumulate(np.where(fresh, np.arange(len(s)), 0))
    above = ties - begins[ties]
    shares = np.empty(len(s))
    shares[order] = np.repeat(np.clip((top - above) / sizes, 0.0, 1.0), sizes)
    return shares


def checked_keep(top: int, keep: Sequence[int]) -> list[int]:
    """The ms in order, each once; raises ConfigError where one is less than k."""
    wanted = sorted(set(keep))
    if not wanted or not 1 <= top <= wanted[0]:
        found = f"the ranker's {top} among the first {', '.join(map(str, wanted)) or 'none'}"
        raise ConfigError("recall", found=found, wanted="keep at least as many as top", remedy="change --top or --keep")
    return wanted


def recall_of(
    ranker: Floats,
    preranker: Floats,
    *,
    requests: npt.NDArray,
    top: int,
    keep: Sequence[int],
    by: str = "score",
) -> Recall:
    """Recall of the ranker's `top` under the pre-ranker, for each m of `keep`.

    Parameters
    ----------
    ranker, preranker : (N,) scores of the same candidates, more is better
    requests : (N,)
    top : k, at least 1
    keep : ms, each at least k
    by : what the scores are, for the reader

    Raises
    ------
    ConfigError
        Some m is less than k.
    InputError
        No request has more candidates than the largest m.
    """
    wanted = checked_keep(top, keep)
    _, code, sizes = np.unique(requests, return_inverse=True, return_counts=True)
    counted = sizes > wanted[-1]
    if not counted.any():
        raise InputError(
            "recall: candidates of requests",
            found=f"at most {sizes.max(initial=0)} in each of {len(sizes)} requests",
            wanted=f"requests of more than {wanted[-1]} candidates",
            remedy="keep fewer, or take larger pools",
        )
    best = top_shares(ranker, requests=code, top=top)
    kept = tuple(
        _kept(
            m,
            np.bincount(code, best * top_shares(preranker, requests=code, top=m))[counted] / top,
            sizes=sizes[counted],
        )
        for m in wanted
    )
    return Recall(top, by, int(counted.sum()), int((~counted).sum()), float(sizes[counted].mean()), kept)


def _kept(keep: int, recall: Floats, *, sizes: npt.NDArray) -> Kept:
    """Of requests (R,) with `sizes` candidates."""
    mean, half = float(recall.mean()), float("nan")
    if len(recall) > 1:
        half = _NORMAL_95 * float(recall.std(ddof=1)) / len(recall) ** 0.5
    low, high = np.clip([mean - half, mean + half], 0.0, 1.0)
    return Kept(keep, mean, float(low), float(high), float((keep / sizes).mean()))
