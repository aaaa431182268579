"""What a search for a fusion's numbers found, and how sure it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import Fusion, TuneConfig
from trainer.fusion.forms import describe

__all__ = ["Estimate", "Trial", "Tuning", "ratio", "tuning_to_dict"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over requests."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trial:
    """One setting, measured on the requests of the search.

    Attributes
    ----------
    fusion : Fusion
    value : float
        Utility captured by the top, as a share of what the best order captures.
    parts : dict of label to float
        The same for each label alone; NaN for a label that these rows do not hold.
    """

    fusion: Fusion
    value: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Tuning:
    """All trials of a search, and the two that count on requests which the search did not see.

    Attributes
    ----------
    config : TuneConfig
    trials : tuple of Trial
        The first is the declared setting.
    best_trial : int
        Number of the trial that captures most on the requests of the search.
    before, after, gain : Estimate
        Of the declared and the best setting, and their difference, on the requests kept back for it.
    parts : dict of label to (before, after)
        Shares of each label alone on the same requests.
    frontier : tuple of Trial
        Of the first two labels of the utility, see `trainer.fusion.frontier`; empty where there is one.
    requests : dict of str to int
        `searched`, `judged`; left out: `single` (one candidate), `empty` (nothing to capture).
    warning : str or None
        Why the gain is not to be trusted.
    """

    config: TuneConfig
    trials: tuple[Trial, ...]
    best_trial: int
    before: Estimate
    after: Estimate
    gain: Estimate
    parts: dict[str, tuple[float, float]]
    frontier: tuple[Trial, ...]
    requests: dict[str, int]
    warning: str | None

    @property
    def declared(self) -> Fusion:
        """The setting that the search started from."""
        return self.trials[0].fusion

    @property
    def best(self) -> Fusion:
        """The setting that captures most on the requests of the search."""
        return self.trials[self.best_trial].fusion

    @property
    def chosen(self) -> Fusion:
        """What to score with: the best, or the declared where there is a warning."""
        return self.best if self.warning is None else self.declared


def ratio(parts: npt.NDArray[np.float64], wholes: npt.NDArray[np.float64]) -> Estimate:
    """sum(parts) / sum(wholes) over R independent requests, its variance by the delta method (Cochran 1977, 2.11).

    Parameters
    ----------
    parts, wholes : (R,), R >= 2, with sum(wholes) > 0
    """
    value = float(parts.sum() / wholes.sum())
    rests, count = parts - value * wholes, len(parts)
    error = float(np.sqrt(np.square(rests).sum() * count / (count - 1)) / wholes.sum())
    return Estimate(value, value - 1.96 * error, value + 1.96 * error)


def tuning_to_dict(tuning: Tuning) -> dict[str, Any]:
    """Plain data for a checkpoint or a report: no NaN (None instead); fusions as data and as formulas."""
    return {
        "config": tuning.config.model_dump(mode="json"),
        **{name: _fusion(getattr(tuning, name)) for name in ("declared", "best", "chosen")},
        **{name: asdict(getattr(tuning, name)) for name in ("before", "after", "gain")},
        "parts": {label: [_number(v) for v in pair] for label, pair in tuning.parts.items()},
        "requests": tuning.requests,
        "warning": tuning.warning,
        "trials": [_trial(t) for t in tuning.trials],
        "frontier": [_trial(t) for t in tuning.frontier],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    parts: Mapping[str, float] = trial.parts
    return {
        "fusion": _fusion(trial.fusion),
        "value": trial.value,
        "parts": {label: _number(share) for label, share in parts.items()},
    }


def _fusion(fusion: Fusion) -> dict[str, Any]:
    return {"formula": describe(fusion), **fusion.model_dump(mode="json", exclude_none=True)}


def _number(value: float) -> float | None:
    return None if isnan(value) else value
