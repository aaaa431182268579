"""Fit an encoder in one pass over the training days, in memory that does not grow with the rows.

What comes out depends on the rows and their order, not on how they are cut into batches: moments are taken in over
blocks of a fixed number of rows, and values are counted exactly.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.config.training import Encoding
from headrace.errors import InputError
from trainer.columns import batches, column, floats, is_text, number_matrix, row_states, unmeasured, whole, wrong_type
from trainer.encode.choose import choose_fields
from trainer.encode.fields import Buckets, Category, Encoder, Number, Vocabulary
from trainer.encode.numbers import signed_log
from trainer.encode.tallies import NumberTally, Tally, WholeTally, WordTally, quantile_edges
from trainer.moments import Moments
from trainer.published import FeatureSpec

__all__ = ["Fitter"]

_BLOCK = 8192  # rows that enter the moments together


class Fitter:
    """Take in the training days batch by batch, then `finish`.

    Cells that were filled in (state default_filled or no_entity), null, NaN and infinite ones are no measurements: they
    enter no mean, no quantile, and no vocabulary.

    Parameters
    ----------
    features : declared features of the training days
    present, rules, hash_buckets
        As `choose_fields` takes them; it also says what is refused.

    Attributes
    ----------
    columns : names
        To read, `feature_states` included.
    broken : dict of str to int
        NaN and infinite cells by column, of those that are encoded as numbers or quantile buckets.
    """

    def __init__(
        self,
        features: Sequence[FeatureSpec],
        *,
        present: Collection[str],
        rules: Sequence[Encoding] = (),
        hash_buckets: int,
    ) -> None:
        self._chosen = _unfitted(
            features, choose_fields(features, present=present, rules=rules, hash_buckets=hash_buckets)
        )
        self.columns = self._chosen.columns
        words = {f.name for f in features if f.type == "string"}
        self._tallies = {c.name: tally for c in self._chosen.categories if (tally := _tally(c, words=c.name in words))}
        self._names = [number.name for number in self._chosen.numbers]
        self.broken = dict.fromkeys(
            [*self._names, *(n for n, t in self._tallies.items() if isinstance(t, NumberTally))], 0
        )
        self._moments = Moments.empty(len(self._names))
        self._block = np.empty((len(self._names), _BLOCK)).T  # (_BLOCK, N), each column in one piece
        self._filled = 0

    def add(self, rows: pa.RecordBatch | pa.Table, state_order: Sequence[str]) -> None:
        """Take in rows of a day whose `feature_states` stand in `state_order`.

        Raises
        ------
        InputError
            A column is not what its feature declares, states do not fit, or a vocabulary grows beyond its limit.
        """
        places = {name: place for place, name in enumerate(state_order)}
        for batch in batches(rows):
            states = row_states(batch, state_order)
            self._add_numbers(batch, states[:, [places[name] for name in self._names]])
            for name, tally in self._tallies.items():
                filled = unmeasured(states[:, places[name]]) if name in places else np.zeros(len(states), dtype=bool)
                self._count(batch, name, tally=tally, filled=filled)

    def _add_numbers(self, batch: pa.RecordBatch, states: npt.NDArray[np.uint8]) -> None:
        values, broken = number_matrix(batch, self._names)  # (B, N)
        for i, number in enumerate(self._chosen.numbers):
            self.broken[number.name] += int(broken[i])
            if number.log:
                values[:, i] = signed_log(values[:, i])
        values[unmeasured(states)] = np.nan
        start = 0
        while start < len(values):
            part = values[start : start + _BLOCK - self._filled]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            start += len(part)
            if self._filled == _BLOCK:
                self._flush()

    def _flush(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name in the end
            self._moments.add(self._block[: self._filled])
        self._filled = 0

    def _count(self, batch: pa.RecordBatch, name: str, *, tally: Tally, filled: npt.NDArray[np.bool_]) -> None:
        cells = column(batch, name)
        if isinstance(tally, WordTally):
            if not is_text(cells.type):
                raise wrong_type(name, cells.type, wanted="words")
            tally.add(cells.filter(pa.array(~filled)))
        elif isinstance(tally, NumberTally):
            values = floats(cells, name=name)
            good = np.isfinite(values)
            self.broken[name] += len(values) - int(good.sum()) - cells.null_count
            tally.add(values[good & ~filled])
        else:
            values, nulls = whole(cells, name=name)
            tally.add(values[~filled if nulls is None else ~(filled | nulls)])

    def finish(self) -> Encoder:
        """The encoder fitted on what was taken in; a field without any measurement stays as it is.

        Raises
        ------
        InputError
            Numbers are so large that their squares are infinite.
        """
        self._flush()
        moments = zip(self._moments.mean.tolist(), self._moments.std().tolist(), strict=True)
        numbers = [
            _standardised(number, mean=mean, std=std) if number.standardise else number
            for number, (mean, std) in zip(self._chosen.numbers, moments, strict=True)
        ]
        categories = [_fitted(category, self._tallies.get(category.name)) for category in self._chosen.categories]
        return replace(self._chosen, categories=tuple(categories), numbers=tuple(numbers))


def _standardised(number: Number, *, mean: float, std: float) -> Number:
    if not (math.isfinite(mean) and math.isfinite(std)):
        raise InputError(
            f"training days: {number.name}",
            found="numbers beyond 1e150: their standard deviation is infinite",
            wanted="measurements; a missing value is null",
            remedy=f"mend the source, or take logarithms: {{features: [{number.name}], as: number, log: true}}",
        )
    return replace(number, mean=mean, std=std)


def _unfitted(features: Sequence[FeatureSpec], chosen: tuple[tuple[Category, ...], tuple[Number, ...]]) -> Encoder:
    used = {field.name for part in chosen for field in part}
    return Encoder(*chosen, features=tuple((f.name, f.type, f.unit) for f in features if f.name in used))


def _tally(category: Category, *, words: bool) -> Tally | None:
    """What counts a column's values; None where they need not be known."""
    if isinstance(category, Buckets):
        return NumberTally(category.name)
    if isinstance(category, Vocabulary):
        return WordTally(category.name) if words else WholeTally(category.name)
    return None


def _fitted(category: Category, tally: Tally | None) -> Category:
    if isinstance(category, Buckets) and isinstance(tally, NumberTally):
        edges = quantile_edges(*tally.counted(), buckets=category.buckets)
        return replace(category, edges=tuple(edges.tolist()), error=tally.error)
    if isinstance(category, Vocabulary) and tally is not None:
        return replace(category, values=tally.ranked(category.min_count))
    return category
