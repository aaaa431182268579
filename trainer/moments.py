"""Mean and standard deviation of columns in one pass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Moments"]


@dataclass
class Moments:
    """Running count, mean and sum of squared deviations of N columns, merged batch by batch.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """

    count: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, columns: int) -> "Moments":
        """Of no rows."""
        return cls(*(np.zeros(columns) for _ in range(3)))

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Take in (B, N); NaN cells are left out."""
        known = ~np.isnan(values)
        count = known.sum(axis=0)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
        total = self.count + count
        share = count / np.maximum(total, 1)
        delta = mean - self.mean
        self.squares += squares + delta**2 * self.count * share
        self.mean += delta * share
        self.count = total

    def std(self) -> npt.NDArray[np.float64]:
        """Population standard deviation (N,); 1 for a column that does not vary, so that dividing by it is safe."""
        spread = np.sqrt(self.squares / np.maximum(self.count, 1))
        return np.where(spread > 1e-9 * np.maximum(1.0, np.abs(self.mean)), spread, 1.0)
