"""One pass over the training days: moments for the encoder, label counts, and the rates that rows were kept with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError
from trainer.columns import DEFAULT_FILLED, column, integers, number_matrix, state_matrix
from trainer.encoders import Encoder, Number, input_fields, squash
from trainer.published import PublishedDay
from trainer.rows import Piece, day_columns, day_pieces, read_piece
from trainer.tasks import ANY, label_columns

__all__ = ["Facts", "Moments", "any_positive", "check_same_schema", "fit_encoder", "training_pieces"]


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
    broken : dict of str to int
        NaN or infinite cells by column; they were treated as missing.
    """

    rows: int = 0
    positives: dict[str, int] = field(default_factory=dict)
    positive_weights: dict[str, float] = field(default_factory=dict)
    rates: dict[bool, tuple[float, float]] = field(default_factory=dict)
    weight: float = 0.0
    broken: dict[str, int] = field(default_factory=dict)

    def single_rates(self, *, weighted: bool) -> tuple[float, float]:
        """(negative_rate, positive_rate) of the rows.

        Raises
        ------
        InputError
            They differ from row to row within a class, so that no closed form undoes them, and weights are not used.
        """
        low, high = (self.rates.get(kind, (1.0, 1.0)) for kind in (False, True))
        if not weighted and (low[0] != low[1] or high[0] != high[1]):
            raise InputError(
                "sampling_rate of the training days",
                found=f"negatives at {low[0]:g} to {low[1]:g}, positives at {high[0]:g} to {high[1]:g}",
                wanted="one rate for each class over all training days",
                remedy="train on days that were sampled alike, or train with sample weights (weighted)",
            )
        return low[0], high[0]


def any_positive(batch: pa.RecordBatch, positive: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(B,) true where a row has any of the positive labels (S28)."""
    found = np.zeros(batch.num_rows, dtype=bool)
    for action in positive:
        found |= integers(batch, f"label_{action}") > 0
    return found


def check_same_schema(days: Sequence[PublishedDay]) -> None:
    """Raise InputError unless all days declare the same features (in any order) and labels."""
    first = days[0]
    for day in days[1:]:
        ours = {(f.name, f.type, f.unit) for f in day.features}
        differing = sorted(ours ^ {(f.name, f.type, f.unit) for f in first.features})
        if differing or day.labels != first.labels:
            raise InputError(
                f"training days {first.ds} and {day.ds}",
                found=f"different features {differing[:3]}" if differing else "different labels",
                wanted="days published with the same features and labels",
                remedy="build the older days again with today's config: headrace run --rebuild",
            )


def training_pieces(root: str, days: Sequence[PublishedDay]) -> list[Piece]:
    """Row groups of all days; raises InputError where a day has no rows."""
    pieces: list[Piece] = []
    for day in days:
        found = day_pieces(root, ds=day.ds, version=day.version)
        if not found:
            raise InputError(
                f"training_set {day.ds}",
                found="a published day without rows",
                wanted="at least one row",
                remedy="leave the day out, or look at its receipts: headrace verify",
            )
        pieces += found
    return pieces


def fit_encoder(
    root: str, days: Sequence[PublishedDay], *, pieces: Sequence[Piece], hash_buckets: int
) -> Iterator[tuple[int, Encoder, Facts]]:
    """Fit on the training days; yields (rows done, encoder so far, facts so far), the last of them is the result.

    Moments are of measured cells: a default that was filled in is no measurement.
    """
    present = set.intersection(*(day_columns(root, ds=d.ds, version=d.version) for d in days))
    categories, numbers = input_fields(days[0].features, present=present, hash_buckets=hash_buckets)
    declared = tuple((f.name, f.type, f.unit) for f in days[0].features)
    encoder = Encoder(categories, numbers, declared)
    names = [number.name for number in numbers]
    logs = np.array([number.log for number in numbers], dtype=bool)
    orders = {day.ds: [f.name for f in day.features] for day in days}
    labels = label_columns(days[0].labels)
    columns = [*dict.fromkeys([*encoder.columns, *labels, "sampling_rate", "sample_weight"])]
    facts, moments = Facts(broken=dict.fromkeys(names, 0)), Moments.empty(len(names))
    for piece in pieces:
        for batch in read_piece(root, piece, columns=columns):
            values, broken = number_matrix(batch, names)
            values[state_matrix(batch, orders[piece.ds], names=names) == DEFAULT_FILLED] = np.nan
            moments.add(squash(values, logs))
            _count(facts, batch, labels=days[0].labels, broken=broken)
            yield facts.rows, encoder, facts
    yield facts.rows, replace(encoder, numbers=_standardised(numbers, moments)), facts


def _standardised(numbers: Sequence[Number], moments: Moments) -> tuple[Number, ...]:
    fitted = zip(numbers, moments.mean.tolist(), moments.std().tolist(), strict=True)
    return tuple(replace(number, mean=mean, std=std) for number, mean, std in fitted)


def _count(facts: Facts, batch: pa.RecordBatch, *, labels: dict[str, Any], broken: npt.NDArray[np.int64]) -> None:
    facts.rows += batch.num_rows
    weight = column(batch, "sample_weight").to_numpy(zero_copy_only=False)
    rates = column(batch, "sampling_rate").to_numpy(zero_copy_only=False)
    _check_weights(rates, weight)
    facts.weight += float(weight.sum())
    marks = {name.removeprefix("label_"): integers(batch, name) > 0 for name in label_columns(labels)}
    marks[ANY] = any_positive(batch, labels["positive"])
    for action, marked in marks.items():
        facts.positives[action] = facts.positives.get(action, 0) + int(marked.sum())
        facts.positive_weights[action] = facts.positive_weights.get(action, 0.0) + float(weight[marked].sum())
    for kind in (False, True):
        of_kind = rates[marks[ANY] == kind]
        if len(of_kind):
            low, high = facts.rates.get(kind, (np.inf, -np.inf))
            facts.rates[kind] = (min(low, float(of_kind.min())), max(high, float(of_kind.max())))
    for name, cells in zip(facts.broken, broken.tolist(), strict=True):
        facts.broken[name] += cells


def _check_weights(rates: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> None:
    """A rate that is no probability, or a weight that is not its inverse, would bend every estimate unseen."""
    good = (rates > 0) & (rates <= 1) & np.isclose(weight * rates, 1.0, rtol=1e-9, atol=0.0)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(
            "training_set: sampling_rate and sample_weight",
            found=f"{int((~good).sum())} rows like rate {rates[at]}, weight {weight[at]}",
            wanted="a rate in (0, 1] and a weight of 1 / rate on every row",
            remedy="build the day again: headrace run --rebuild",
        )
