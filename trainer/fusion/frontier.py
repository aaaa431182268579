"""Trade-offs between two parts of a utility: the settings that no other beats in both."""

from collections.abc import Mapping, Sequence
from math import isnan

from trainer.fusion.results import Trial

__all__ = ["frontier"]


def frontier(trials: Sequence[Trial], *, utility: Mapping[str, float], parts: tuple[str, str]) -> tuple[Trial, ...]:
    """The trials that none beats: no less good in both parts and better in one. By the first part, the best first.

    Of trials alike in both the first stands. A label that the rows do not hold (NaN) has no frontier.

    Parameters
    ----------
    trials : sequence of Trial
    utility : label -> worth
        Where it is negative, less of the label is better.
    parts : two labels
    """
    signs = [-1.0 if utility[part] < 0 else 1.0 for part in parts]
    points = [(signs[0] * trial.parts[parts[0]], signs[1] * trial.parts[parts[1]]) for trial in trials]
    known = [i for i, (x, y) in enumerate(points) if not (isnan(x) or isnan(y))]
    found: list[int] = []
    for i in sorted(known, key=lambda i: (-points[i][0], -points[i][1], i)):
        if not found or points[i][1] > points[found[-1]][1]:
            found.append(i)
    return tuple(trials[i] for i in found)
