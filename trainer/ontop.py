"""A small correction on top of probabilities of the traffic: Platt scaling or isotonic regression, fitted on validation.

Both are fitted after the sampling is undone and with sample weights, both rise with the score and stay in [0, 1]:
corrections of what is left when the rates are right. Platt keeps every order; isotonic makes ties where the data show no
rise, so that AUC may fall a little. Each is a few numbers that go through JSON unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from headrace.errors import InputError
from trainer.metrics.checks import Floats, checked
from trainer.metrics.ordering import float_keys, run_starts, stable_order

__all__ = [
    "Isotonic",
    "OnTop",
    "Platt",
    "Scale",
    "apply_on_top",
    "fit_on_top",
    "fit_scale",
    "on_top_from_dict",
    "on_top_to_dict",
]

_EPSILON = 1e-15  # as in trainer.metrics.log_loss: probabilities this far from 0 and 1
_STEPS = 100  # Newton's method needs some 5


@dataclass(frozen=True)
class Platt:
    """p -> sigmoid(slope * logit(p) + intercept), slope >= 0."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Isotonic:
    """p -> the value on the straight lines between (scores, values); the first and last value outside of them.

    Attributes
    ----------
    scores, values : tuples of one length, ascending, in [0, 1]
        Both ends of every level of the step function; between two levels it climbs evenly.
    """

    scores: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Scale:
    """An amount t -> factor * t, so that predicted over actual is 1 on the rows fitted; for seconds watched."""

    factor: float


OnTop = Platt | Isotonic | Scale


def fit_scale(amounts: npt.ArrayLike, *, estimates: npt.ArrayLike, weights: npt.ArrayLike) -> Scale:
    """The factor by which estimates add up to what was: sum(w t) / sum(w estimate), over (N,) amounts from 0.

    Raises
    ------
    InputError
        Nothing was watched, or nothing is expected.
    """
    t, e, w = (np.asarray(values, dtype=np.float64) for values in (amounts, estimates, weights))
    actual, expected = float(np.dot(w, t)), float(np.dot(w, e))
    if not (actual > 0 and expected > 0):
        raise InputError(
            "seconds watched on the days that validate",
            found=f"{actual:g} actual, {expected:g} expected",
            wanted="some of both",
            remedy="validate on more or other days, or set on_top to null",
        )
    return Scale(actual / expected)


def fit_on_top(
    kind: Literal["platt", "isotonic"],
    labels: npt.ArrayLike,
    *,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    what: str = "labels of the validation day",
) -> OnTop:
    """The correction that makes probabilities fit labels best.

    Parameters
    ----------
    kind : str
        platt: logistic regression of the label on the logit (Platt 1999), by maximum likelihood, so that predicted over
        actual is 1 on the rows fitted. Where one score parts the classes there is no maximum, and the labels are then
        Platt's targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2). Where the likelihood wants a falling line, slope is 0.
        isotonic: the rising step function of least squared error (pool adjacent violators; Zadrozny and Elkan, KDD
        2002), rows of one score pooled first.
    labels : (N,) in [0, 1], or NaN where a row has no label and is left out
    scores : (N,) in [0, 1], probabilities of the traffic
    weights : (N,) non-negative, default all 1
    what : str
        Subject of the error.

    Raises
    ------
    InputError
        The labels that weigh anything are all 0, all 1, or none.
    ValueError
        Shapes differ, or a number is not what it should be.
    """
    y, p, w, _ = checked(labels, scores, weights=weights)
    _check_range(p)
    y, p, w = y[w > 0], p[w > 0], w[w > 0]
    if not len(y) or y.max() == 0 or y.min() == 1:
        raise InputError(
            what,
            found=f"{y.sum():g} positives of {len(y)} rows",
            wanted=f"both classes, to fit {kind} on top",
            remedy="validate on more or other days, or set on_top to null",
        )
    return _platt(y, p, w=w) if kind == "platt" else _isotonic(y, p, w=w)


def _check_range(p: Floats) -> None:
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("ontop: found a probability outside [0, 1]")


def _logit(p: Floats) -> Floats:
    p = np.clip(p, _EPSILON, 1 - _EPSILON)
    return np.log(p) - np.log1p(-p)


def _sigmoid(z: Floats) -> Floats:
    """1 / (1 + e^-z) without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1 + small)


def _platt(y: Floats, p: Floats, *, w: Floats) -> Platt:
    x = _logit(p)
    mean = np.average(y, weights=w)
    level = float(_logit(np.array([mean]))[0])
    if np.dot(w, (x - np.average(x, weights=w)) * (y - mean)) <= 0:  # slope of the likelihood at slope 0
        return Platt(0.0, level)
    if x[y < 1].max() <= x[y > 0].min():
        y = np.where(y > 0, (np.sum(y > 0) + 1) / (np.sum(y > 0) + 2), 1 / (np.sum(y == 0) + 2))
    return _newton(x, y, w=w / w.sum(), start=level)


def _newton(x: Floats, y: Floats, *, w: Floats, start: float) -> Platt:
    """Newton's method with halved steps (Lin, Lin and Weng, Machine Learning 68, 2007) on the mean cross-entropy."""
    inputs = np.stack([x, np.ones(len(x))], axis=1)  # (N, 2)
    at = np.array([0.0, start])
    loss = _loss(inputs @ at, y, w=w)
    for _ in range(_STEPS):
        p = _sigmoid(inputs @ at)
        gradient = inputs.T @ (w * (p - y))
        curvature = (inputs * (w * p * (1 - p))[:, None]).T @ inputs
        step = np.linalg.solve(curvature + 1e-14 * np.eye(2), gradient)
        if gradient @ step < 1e-24:  # twice what is left to gain
            break
        while (tried := _loss(inputs @ (at - step), y, w=w)) > loss + 1e-14:
            step /= 2
        at, loss = at - step, tried
    return Platt(float(at[0]), float(at[1]))


def _loss(z: Floats, y: Floats, *, w: Floats) -> float:
    return float(np.dot(w, np.logaddexp(0, z) - y * z))


def _isotonic(y: Floats, p: Floats, *, w: Floats) -> Isotonic:
    order = stable_order(float_keys(p))
    y, p, w = y[order], p[order], w[order]
    ties = run_starts(p)
    weight = np.add.reduceat(w, ties)
    mean = np.add.reduceat(w * y, ties) / weight
    found = isotonic_regression(mean, weights=weight)
    first, past = found.blocks[:-1], found.blocks[1:]
    ends = np.unique(np.concatenate([first, past - 1]))  # a level of one score has one end
    return Isotonic(tuple(p[ties][ends].tolist()), tuple(np.clip(found.x[ends], 0, 1).tolist()))


def apply_on_top(on_top: OnTop, probabilities: npt.ArrayLike) -> Floats:
    """Probabilities put through a correction.

    Parameters
    ----------
    on_top : Platt, Isotonic or Scale
    probabilities : (N,) in [0, 1]; for a Scale amounts from 0

    Returns
    -------
    (N,) float64 in [0, 1] (a Scale's: from 0), never falling where the probabilities rise.

    Raises
    ------
    ValueError
        A probability is outside [0, 1] or NaN.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if isinstance(on_top, Scale):
        return on_top.factor * p
    _check_range(p)
    if isinstance(on_top, Platt):
        return _sigmoid(on_top.slope * _logit(p) + on_top.intercept)
    return np.clip(np.interp(p, on_top.scores, on_top.values), 0, 1)  # rounding may leave 1


def on_top_to_dict(on_top: OnTop) -> dict[str, Any]:
    """Plain data for JSON."""
    if isinstance(on_top, Scale):
        return {"kind": "scale", "factor": on_top.factor}
    if isinstance(on_top, Platt):
        return {"kind": "platt", "slope": on_top.slope, "intercept": on_top.intercept}
    return {"kind": "isotonic", "scores": list(on_top.scores), "values": list(on_top.values)}


def on_top_from_dict(described: Mapping[str, Any]) -> OnTop:
    """What `on_top_to_dict` described; raises ValueError or KeyError where it is no such thing."""
    if described["kind"] == "scale":
        if not 0 < float(described["factor"]) < np.inf:
            raise ValueError(f"on_top: found a factor of {described['factor']}, wanted a finite one above 0")
        return Scale(float(described["factor"]))
    if described["kind"] == "platt":
        platt = Platt(float(described["slope"]), float(described["intercept"]))
        if not (0 <= platt.slope < np.inf and np.isfinite(platt.intercept)):
            raise ValueError(f"on_top: found {platt}, wanted finite numbers and a slope of 0 or more")
        return platt
    if described["kind"] != "isotonic":
        raise ValueError(f"on_top: found kind {described['kind']!r}, wanted platt or isotonic")
    scores, values = (np.asarray(described[name], dtype=np.float64) for name in ("scores", "values"))
    rising = len(scores) == len(values) > 0 and (np.diff(scores) > 0).all() and (np.diff(values) >= 0).all()
    if not (rising and min(scores[0], values[0]) >= 0 and max(scores[-1], values[-1]) <= 1):
        raise ValueError("on_top: found a table that is not rising within [0, 1]")
    return Isotonic(tuple(scores.tolist()), tuple(values.tolist()))
