"""How much of a video of a given duration is watched anyway: f(duration), by which completion is divided before fusion.

Short videos are watched to the end more often than long ones whatever their quality. Fused as it stands, a completion
would rank by brevity. Divided by f, the expected completion of videos of that duration, it says how a video does among
its like. Comparing within like durations is the idea of Wu, Rizoiu and Xie ("Beyond Views: Measuring and Predicting
Engagement in Online Videos", ICWSM 2018: watch percentage ranked within bins of log duration) and of Zhan et al.
("Deconfounding Duration Bias in Watch-time Prediction for Video Recommendation", KDD 2022: quantiles within groups of
duration); a quotient keeps the scale of a completion, 1 for the usual.
Legend: N rows, K bins that were met, M bins that were kept.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from headrace.errors import InputError

__all__ = ["DurationCurve", "DurationFitter", "curve_from_dict", "curve_to_dict", "expected_completion", "normalise"]

Floats = npt.NDArray[np.float64]

_PER_OCTAVE = 4  # bins from one duration to its double: 19 % wide
_OCTAVES = (-4, 18)  # from 1/16 s to 3 days; what lies outside counts in the outermost bin
_FIELDS = 5  # of a bin: rows, weight, squared weight, weight x completion, weight x log duration


@dataclass(frozen=True)
class DurationCurve:
    """f(duration): expected completion, linear in log duration between points and constant beyond them.

    Attributes
    ----------
    log_durations : tuple of float
        Points, ascending: weighted mean of the natural log of seconds in each bin, (M,).
    values : tuple of float
        f at the points, (M,); never rising where `monotone`.
    measured : tuple of float
        Weighted mean completion in each bin before it was made monotone, (M,).
    weights : tuple of float
        Sum of sample weights in each bin, (M,).
    overall : float
        Weighted mean over all bins: f of a duration that is null, zero or negative.
    rows : int
        Rows that were fitted.
    monotone : bool
    """

    log_durations: tuple[float, ...]
    values: tuple[float, ...]
    measured: tuple[float, ...]
    weights: tuple[float, ...]
    overall: float
    rows: int
    monotone: bool


@dataclass
class DurationFitter:
    """Sums by bins of log duration, taken in batch by batch over the training days; memory does not grow with the rows.

    Attributes
    ----------
    sums : (K, 5)
        Rows, weight, squared weight, weight x completion, weight x log duration.
    """

    sums: Floats = field(default_factory=lambda: np.zeros(((_OCTAVES[1] - _OCTAVES[0]) * _PER_OCTAVE, _FIELDS)))

    def add(self, duration: npt.ArrayLike, value: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> None:
        """Take in rows; one without a duration above 0, or with a NaN value, is left out.

        Parameters
        ----------
        duration : (N,) seconds
        value : (N,) what the head predicts: ratio watched, clipped to [0, 1] as in its loss, or 0 / 1 for completed
        weight : (N,) sample weights; None: 1 each
        """
        seconds, ratio = np.asarray(duration, dtype=np.float64), np.asarray(value, dtype=np.float64)
        weights = np.ones(len(seconds)) if weight is None else np.asarray(weight, dtype=np.float64)
        known = _known(seconds) & ~np.isnan(ratio)  # (N,)
        logs, w, v = np.log(seconds[known]), weights[known], np.clip(ratio[known], 0.0, 1.0)
        places = np.floor(np.log2(seconds[known]) * _PER_OCTAVE).astype(np.int64) - _OCTAVES[0] * _PER_OCTAVE
        places = np.clip(places, 0, len(self.sums) - 1)
        for at, summands in enumerate((np.ones(len(w)), w, w**2, w * v, w * logs)):
            self.sums[:, at] += np.bincount(places, summands, minlength=len(self.sums))

    def finish(self, *, least_rows: float = 200.0, monotone: bool = True) -> DurationCurve:
        """Join thin bins with their longer neighbours, and fit.

        Parameters
        ----------
        least_rows : effective rows, (sum w)^2 / sum w^2 (Kish, "Survey Sampling", 1965), that a bin must have; 200 put
            the standard error of a ratio near 0.025
        monotone : make f the nearest curve that never rises with duration (isotonic regression, weighted squares)

        Raises
        ------
        InputError
            No row had a duration, a completion and a weight.
        """
        if not self.sums[:, 1].sum() > 0:
            raise InputError(
                "completion by duration",
                found="no row of the training days with a duration, a completion and a weight above 0",
                wanted="at least one video that was shown",
                remedy="declare the profile column duration_s, or switch the completion head off",
            )
        rows, weights, _, completions, logs = _joined(self.sums, least_rows=least_rows).T  # (M,) each
        measured = completions / weights
        fitted = isotonic_regression(measured, weights=weights, increasing=False).x if monotone else measured
        return DurationCurve(
            log_durations=tuple((logs / weights).tolist()),
            values=tuple(fitted.tolist()),
            measured=tuple(measured.tolist()),
            weights=tuple(weights.tolist()),
            overall=float(completions.sum() / weights.sum()),
            rows=int(rows.sum()),
            monotone=monotone,
        )


def _known(seconds: Floats) -> npt.NDArray[np.bool_]:
    return np.isfinite(seconds) & (seconds > 0)


def _joined(sums: Floats, *, least_rows: float) -> Floats:
    """Bins (M, 5) of enough effective rows each, from the shortest up; what is left over joins the last."""
    made: list[Floats] = []
    held = np.zeros(_FIELDS)
    for place in sums[sums[:, 1] > 0]:
        held = held + place
        if held[1] ** 2 >= least_rows * held[2]:
            made.append(held)
            held = np.zeros(_FIELDS)
    if held[1] > 0:
        made[-1:] = [held + made[-1]] if made else [held]
    return np.array(made)


def expected_completion(duration: npt.ArrayLike, curve: DurationCurve) -> Floats:
    """f of each duration, (N,) from seconds (N,); the overall mean where one is null, zero, negative or infinite."""
    seconds = np.asarray(duration, dtype=np.float64)
    known = _known(seconds)  # (N,)
    logs = np.log(np.where(known, seconds, 1.0))
    return np.where(known, np.interp(logs, curve.log_durations, curve.values), curve.overall)


def normalise(
    completion: npt.ArrayLike, duration: npt.ArrayLike, *, curve: DurationCurve, floor: float = 0.02
) -> Floats:
    """Completion beside what is usual for the duration, (N,): completion / max(f(duration), floor).

    1 is the usual; it is no probability and may lie above 1.

    Parameters
    ----------
    completion : (N,) predicted ratio or P(completed), already one of the traffic
    duration : (N,) seconds
    floor : in (0, 1]; no completion is multiplied by more than 1 / floor
    """
    if not 0 < floor <= 1:
        raise ValueError(f"floor: found {floor}, wanted a share in (0, 1]")
    return np.asarray(completion, dtype=np.float64) / np.maximum(expected_completion(duration, curve), floor)


def curve_to_dict(curve: DurationCurve) -> dict[str, Any]:
    """Plain values for JSON; floats keep all their digits."""
    return asdict(curve)


def curve_from_dict(values: Mapping[str, Any]) -> DurationCurve:
    """Inverse of `curve_to_dict`.

    Raises
    ------
    KeyError, TypeError
        A value is missing, or one too many.
    ValueError
        The points do not ascend, or there are not as many values.
    """
    columns = {name: tuple(map(float, values[name])) for name in ("log_durations", "values", "measured", "weights")}
    curve = DurationCurve(**{**values, **columns})
    if len({len(column) for column in columns.values()}) != 1 or not np.all(np.diff(curve.log_durations) > 0):
        raise ValueError("f(duration): found points that do not ascend or lack a value, wanted one value a point")
    return curve
