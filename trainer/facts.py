"""What one pass over the training days counts of labels, rates and weights."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace.errors import InputError

__all__ = ["Facts", "Watched", "facts_from_dict", "facts_to_dict"]


@dataclass
class Watched:
    """Sums of a label that does not apply to every row: rows where it does, their weight, weight x label, weight x label².

    The label as its loss takes it: a ratio is cut at 1, seconds of an unweighted watch head are t / (1 + t).
    """

    rows: int = 0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Of the traffic's rows to which it applies; NaN where there are none."""
        return self.total / self.weight if self.weight else float("nan")

    @property
    def deviation(self) -> float:
        """Standard deviation over the same rows."""
        return math.sqrt(max(self.squares / self.weight - self.mean**2, 0.0)) if self.weight else float("nan")


@dataclass
class Facts:
    """What the pass counted.

    Attributes
    ----------
    rows : int
    positives : dict of str to int
        Rows with each label, and with `any_positive`.
    positive_weights : dict of str to float
        Sums of their sample weights.
    rates : dict of bool to (lowest, highest)
        Sampling rates met, of rows without (False) and with (True) a positive label.
    weight : float
        Sum of sample weights: impressions of the traffic that the rows stand for.
    watched : dict of str to Watched
        Heads about watching whose labels the days have.
    broken : dict of str to int
        NaN or infinite cells by column; they were treated as missing.
    """

    rows: int = 0
    positives: dict[str, int] = field(default_factory=dict)
    positive_weights: dict[str, float] = field(default_factory=dict)
    rates: dict[bool, tuple[float, float]] = field(default_factory=dict)
    weight: float = 0.0
    watched: dict[str, Watched] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    @property
    def one_rate_a_class(self) -> bool:
        """Whether one rate holds for all negatives and one for all positives, so that a closed form undoes them."""
        return all(low == high for low, high in self.rates.values())

    def lowest_rates(self, *, weighted: bool) -> tuple[float, float]:
        """(negative_rate, positive_rate) of the rows, the lowest of each.

        Raises
        ------
        InputError
            They differ from row to row within a class, so that no closed form undoes them, and weights are not used.
        """
        low, high = (self.rates.get(kind, (1.0, 1.0)) for kind in (False, True))
        if not weighted and not self.one_rate_a_class:
            raise InputError(
                "sampling_rate of the training days",
                found=f"negatives at {low[0]:g} to {low[1]:g}, positives at {high[0]:g} to {high[1]:g}",
                wanted="one rate for each class over all training days, since train.weighted is false",
                remedy="set train.weighted to auto or true, or train on days that were sampled alike",
            )
        return low[0], high[0]

    def base_rate(self, head: str, *, weighted: bool) -> float:
        """Share of positives that a binary head's loss will see, strictly between 0 and 1: both classes are there."""
        if not weighted:
            return self.positives[head] / self.rows
        return self.positive_weights[head] / self.weight


def facts_to_dict(facts: Facts) -> dict[str, Any]:
    """Plain values for JSON."""
    rates = {("positive" if kind else "negative"): list(limits) for kind, limits in facts.rates.items()}
    return asdict(facts) | {"rates": rates}


def facts_from_dict(values: Mapping[str, Any]) -> Facts:
    """Inverse of `facts_to_dict`; raises KeyError or TypeError where the values are not one's."""
    rates = {kind == "positive": (limits[0], limits[1]) for kind, limits in values["rates"].items()}
    watched = {head: Watched(**sums) for head, sums in values["watched"].items()}
    return Facts(**{**values, "rates": rates, "watched": watched})
