"""A seeded search in few dimensions: a Latin hypercube, then ever smaller steps around the best point so far.

McKay, Beckman and Conover (1979) for the hypercube: of n points, each n-th of each axis holds exactly one.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["search"]

Floats = npt.NDArray[np.float64]
_STEPS = (0.4, 0.02)  # standard deviation of the first and of the last step, in half widths of the box


def search(value: Callable[[Floats], float], *, spans: Floats, trials: int, rng: np.random.Generator) -> int:
    """Call `value` at `trials` points of D dimensions and return the number of the best, the first of equals.

    After the origin, half of the points fill the box of half widths `spans`; the others are normal steps from the best
    point so far, in about half of the dimensions at a time, and may leave the box.

    Parameters
    ----------
    value : point (D,) -> what is to be large
    spans : (D,) positive
    trials : at least 1
    rng : numpy Generator
    """
    points = [np.zeros(len(spans)), *(_hypercube(trials // 2, len(spans), rng=rng) * spans)]
    values = [value(point) for point in points]
    for step in np.geomspace(*_STEPS, num=trials - len(points)):
        moved = rng.random(len(spans)) < 0.5
        moved[rng.integers(len(spans))] = True
        best = points[int(np.argmax(values))]
        points.append(best + moved * step * spans * rng.normal(size=len(spans)))
        values.append(value(points[-1]))
    return int(np.argmax(values))


def _hypercube(points: int, axes: int, *, rng: np.random.Generator) -> Floats:
    """(points, axes) in [-1, 1)."""
    cells = rng.permuted(np.tile(np.arange(points), (axes, 1)), axis=1).T
    return (cells + rng.random((points, axes))) / max(points, 1) * 2 - 1
