"""Validation rows made ready to be scored many times: checked, in one order, the requests split in two halves.

Rows are first put in the order of their values, so that the order in which they came never matters, to the last bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import Fusion, TuneConfig
from headrace.errors import InputError
from trainer.fusion.captured import Block, captured, pack
from trainer.fusion.terms import combined, prepared

__all__ = ["Candidates", "halves", "measure"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Rows of R requests of two candidates or more, N in all, with something to capture in each.

    Attributes
    ----------
    parts : dict of str to (N,) float64
        What the form computes with, see `trainer.fusion.terms.prepared`.
    blocks : list of Block
        A row fills as many slots as its weight; its gains are weight * label for the P labels of the utility.
    worth : (P,) float64
    top : int
    ideal : (R,) float64
        Utility that the best order of each request captures.
    attainable : (P,) float64
        Of each label, what the best order for it alone captures, over all requests.
    """

    parts: dict[str, Floats]
    blocks: list[Block]
    worth: Floats
    top: int
    ideal: Floats
    attainable: Floats


def measure(rows: Candidates, fusion: Fusion) -> Floats:
    """What the top of each request holds of each label of the utility under a fusion, (P, R)."""
    return captured(rows.blocks, combined(fusion, rows.parts), top=rows.top)


def halves(
    fusion: Fusion,
    config: TuneConfig,
    *,
    inputs: Mapping[str, npt.ArrayLike],
    labels: Mapping[str, npt.ArrayLike],
    requests: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    rng: np.random.Generator,
) -> tuple[Candidates, Candidates, dict[str, int]]:
    """Requests to search, requests to judge, and how many were left out and why. Raises as `trainer.fusion.tune`."""
    codes = np.asarray(requests)
    w = _weights(np.ones(len(codes)) if weights is None else weights)
    y = np.stack([_label(name, labels[name]) for name in config.utility])  # (P, N)
    columns = {name: np.asarray(inputs[name], dtype=np.float64) for name in fusion.inputs if name in inputs}
    shapes = {codes.shape, w.shape, y[0].shape, *(cells.shape for cells in columns.values())}
    if len(shapes) > 1 or codes.ndim != 1:
        raise ValueError(f"tune: found shapes {sorted(shapes)}, wanted one (N,)")
    order = np.lexsort((w, *y, *columns.values(), codes))
    codes, w, y = codes[order], w[order], y[:, order]
    parts = prepared(fusion, {name: cells[order] for name, cells in columns.items()}, requests=codes, weights=w)
    side, counts = _sides(codes, y, rng=rng)
    searched, judged = (
        _candidates(
            config, _where(side == half, parts), requests=codes[side == half], y=y[:, side == half], w=w[side == half]
        )
        for half in (0, 1)
    )
    return searched, judged, counts


def _where(chosen: npt.NDArray[np.bool_], parts: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: cells[chosen] for name, cells in parts.items()}


def _sides(requests: npt.NDArray, y: Floats, *, rng: np.random.Generator) -> tuple[npt.NDArray, dict[str, int]]:
    """For each row 0 (search), 1 (judge) or -1 (left out), and requests by what became of them."""
    _, code, sizes = np.unique(requests, return_inverse=True, return_counts=True)
    holds = np.bincount(code, weights=y.sum(axis=0), minlength=len(sizes)) > 0
    usable = np.flatnonzero((sizes > 1) & holds)
    counts = {"single": int((sizes == 1).sum()), "empty": int(((sizes > 1) & ~holds).sum())}
    if len(usable) < 4:
        raise InputError(
            "tune: requests of the validation rows",
            found=f"{len(usable)} with two candidates or more and something to capture; {counts['single']} of one "
            f"candidate, {counts['empty']} that hold nothing of the utility",
            wanted="at least 4: two to search, two to judge what was found",
            remedy="validate on more days, give positives another utility, or set train.tune: null",
        )
    side = np.full(len(sizes), -1)
    side[rng.permutation(usable)] = np.arange(len(usable)) % 2
    return side[code], counts | {"searched": (len(usable) + 1) // 2, "judged": len(usable) // 2}


def _candidates(
    config: TuneConfig, parts: dict[str, Floats], *, requests: npt.NDArray, y: Floats, w: Floats
) -> Candidates:
    blocks, top = pack(requests, slots=w, gains=w * y), config.top
    worth = np.array(list(config.utility.values()))
    ideal = worth @ captured(blocks, worth @ y, top=top)
    if not ideal.sum() > 0:
        raise InputError(
            "tune.utility",
            found=f"at best {ideal.sum():g} in the first {top} places of the validation requests",
            wanted="something to gain",
            remedy="give labels that occur a positive worth, or validate on more days",
        )
    attainable = np.array([captured(blocks, one, top=top)[i].sum() for i, one in enumerate(y)])
    return Candidates(parts, blocks, worth, top, ideal, attainable)


def _weights(weights: npt.ArrayLike) -> Floats:
    w = np.asarray(weights, dtype=np.float64)
    if len(w) and not (np.isfinite(w).all() and w.min() > 0):
        raise InputError(
            "tune: sample weights",
            found="one that is not a positive number",
            wanted="1 / rate of each row",
            remedy="look at the sampling rates of the validation days",
        )
    return w


def _label(name: str, label: npt.ArrayLike) -> Floats:
    """(N,), 0 where the label does not apply."""
    y = np.asarray(label, dtype=np.float64)
    y = np.where(np.isnan(y), 0.0, y)
    if len(y) and not (np.isfinite(y).all() and y.min() >= 0):
        raise InputError(
            f"tune: label {name}",
            found="a negative or infinite value",
            wanted="0, 1, or an amount such as seconds",
            remedy="look at that label of the validation days",
        )
    return y
