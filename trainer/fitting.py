"""One pass over the training days: the encoder is fitted, labels counted, and the rates met that rows were kept with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.config.training import TrainConfig
from headrace.errors import InputError
from trainer.after import DURATION
from trainer.columns import column, floats
from trainer.duration import DurationCurve, DurationFitter
from trainer.encode import Encoder, Fitter
from trainer.facts import Facts, Watched
from trainer.published import PublishedDay
from trainer.rowchecks import checked_label, checked_weights
from trainer.rows import Piece, day_columns, day_pieces, read_piece
from trainer.tasks import ANY, WATCHED, any_positive, label_columns

__all__ = ["Fitted", "check_same_schema", "fit_days", "training_pieces"]


@dataclass(frozen=True)
class Fitted:
    """What the pass found: the encoder, the facts, and what is completed of videos of each duration, by head."""

    encoder: Encoder
    facts: Facts
    durations: dict[str, DurationCurve]


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
                remedy="build the older days again with today's config: headrace run --ds DAY --rebuild",
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


def fit_days(
    root: str,
    days: Sequence[PublishedDay],
    *,
    pieces: Sequence[Piece],
    config: TrainConfig,
    progress: Callable[[int], None],
) -> Fitted:
    """Read the training days once. `progress` hears how many rows are done.

    Raises
    ------
    InputError
        A weight is not one over its rate, a label of watching is NaN or negative, or a column cannot be encoded.
    """
    present = set.intersection(*(day_columns(root, ds=d.ds, version=d.version) for d in days))
    fitter = Fitter(days[0].features, present=present, rules=config.encoders, hash_buckets=config.hash_buckets)
    labels = label_columns(days[0].labels, heads=config.heads, present=present)
    counted = _Counted(days[0].labels, labels, watch=config.heads.watch)
    durations = _duration_fitters(labels) if DURATION in present else {}
    orders = {day.ds: [f.name for f in day.features] for day in days}
    extra = [DURATION] if durations else []
    columns = [*dict.fromkeys([*fitter.columns, *labels, "sampling_rate", "sample_weight", *extra])]
    for piece in pieces:
        for batch in read_piece(root, piece, columns=columns):
            fitter.add(batch, orders[piece.ds])
            counted.add(batch)
            _add_durations(durations, batch)
            progress(counted.facts.rows)
    counted.facts.broken = dict(fitter.broken)
    return Fitted(fitter.finish(), counted.facts, _finished(durations, counted.facts))


def _duration_fitters(labels: Sequence[str]) -> dict[str, DurationFitter]:
    return {head: DurationFitter() for head in ("completed", "completion") if WATCHED[head] in labels}


def _add_durations(fitters: dict[str, DurationFitter], batch: pa.RecordBatch) -> None:
    for head, fitter in fitters.items():
        duration, value = (
            floats(column(batch, DURATION), name=DURATION),
            floats(column(batch, WATCHED[head]), name=WATCHED[head]),
        )
        fitter.add(duration, value, weight=floats(column(batch, "sample_weight"), name="sample_weight"))


def _finished(fitters: dict[str, DurationFitter], facts: Facts) -> dict[str, DurationCurve]:
    """f(duration) of the heads that something was seen of."""
    return {head: fitter.finish() for head, fitter in fitters.items() if facts.watched[head].total > 0}


class _Counted:
    """Counts batches into Facts."""

    def __init__(self, labels: dict[str, Any], columns: Sequence[str], *, watch: str | None) -> None:
        watched = {head: name for head, name in WATCHED.items() if name in columns}
        self.actions = [name.removeprefix("label_") for name in columns if name not in watched.values()]
        self.positive, self.columns, self.watch = labels["positive"], watched, watch
        self.facts = Facts(watched={head: Watched() for head in watched})

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch."""
        facts = self.facts
        facts.rows += batch.num_rows
        rates, weight = checked_weights(batch)
        facts.weight += float(weight.sum())
        marks = {action: checked_label(batch, f"label_{action}") > 0 for action in self.actions}
        marks[ANY] = any_positive(batch, self.positive)
        for action, marked in marks.items():
            facts.positives[action] = facts.positives.get(action, 0) + int(marked.sum())
            facts.positive_weights[action] = facts.positive_weights.get(action, 0.0) + float(weight[marked].sum())
        for kind in (False, True):
            of_kind = rates[marks[ANY] == kind]
            if len(of_kind):
                low, high = facts.rates.get(kind, (np.inf, -np.inf))
                facts.rates[kind] = (min(low, float(of_kind.min())), max(high, float(of_kind.max())))
        for head, name in self.columns.items():
            label = checked_label(batch, name)
            if head == "completion":
                label = np.minimum(label, 1.0)
            elif head == "watch" and self.watch == "unweighted":
                label = label / (1 + label)
            _add_watched(facts.watched[head], label, weight=weight)


def _add_watched(sums: Watched, label: npt.NDArray[np.float64], *, weight: npt.NDArray[np.float64]) -> None:
    known = ~np.isnan(label)
    sums.rows += int(known.sum())
    sums.weight += float(weight[known].sum())
    sums.total += float(np.dot(weight[known], label[known]))
    sums.squares += float(np.dot(weight[known], label[known] ** 2))
