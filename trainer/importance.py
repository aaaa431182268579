"""Which groups of features a model leans on: what it loses when a group's cells go to other rows, all of them together.

Permutation importance (Breiman, "Random Forests", Machine Learning 45, 2001) by groups, since features of one group stand in
for each other and none of them alone would be missed (Gregorutti, Michel and Saint-Pierre, CSDA 90, 2015). Nothing is read
again and nothing trained again: it works on the encoded rows. Legend: N rows, F looked-up columns, D dense inputs, T heads.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.config.coverage import matches
from headrace.errors import ConfigError, InputError
from trainer.after import corrected
from trainer.checkpoint import Checkpoint
from trainer.encode import Encoder
from trainer.encode.fields import MISSING
from trainer.inputs import Inputs, Rows, orders_of
from trainer.metrics import auc, log_loss
from trainer.published import PublishedDay
from trainer.rows import Piece
from trainer.scoring import Progress, score_batch

__all__ = ["Importance", "Loss", "default_groups", "permutation_importance"]

IDS = "ids"
_READ = 8  # row groups are read until they hold so many times the rows wanted
_BLOCK = 16384  # rows scored at a time

Groups = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Loss:
    """A mean over repetitions and its standard error: of the draw of the rows' new cells, not of the rows themselves."""

    value: float
    error: float


@dataclass(frozen=True)
class Importance:
    """What a model loses without one group of features.

    Attributes
    ----------
    group : str
    features : tuple of str
        Columns of the group that the encoder reads.
    log_loss : dict of head to Loss
        By how many nats the log loss rises, corrected scores against the traffic.
    auc : dict of head to Loss
        By how much the AUC falls, against the traffic.
    rows, repeats : int
        Rows that were scored, and how often.
    """

    group: str
    features: tuple[str, ...]
    log_loss: dict[str, Loss]
    auc: dict[str, Loss]
    rows: int
    repeats: int


def permutation_importance(
    checkpoint: Checkpoint,
    *,
    root: str,
    days: Sequence[PublishedDay],
    pieces: Sequence[Piece],
    groups: Groups | None = None,
    rows: int = 50_000,
    repeats: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Importance]:
    """Loss of log loss and of AUC of every probability when a group's cells are dealt out anew.

    A row's cells of all features of the group come from one other row, so that they still fit each other. Rows give theirs
    in proportion to their sample weight: what is dealt has the traffic's distribution, not that of the sample. Where all
    weights are the same it is a permutation. One deal a repetition serves all groups, so that they compare.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its model stays where it is, CPU or GPU.
    root, days, pieces
        As in `score_days`: published days and what to read of them.
    groups : name -> patterns with * and ?, optional
        Columns of each group, `user_id` and the like among them; one may be in several. Default: `default_groups`.
    rows : int >= 2
        Most rows looked at, drawn evenly from random row groups that hold 8 times as many.
    repeats : int >= 2
    seed : int
    progress : callable (stage, groups done, groups in all, text), optional

    Returns
    -------
    list of Importance, in the order of the groups. Correlated groups stand in for each other: a small loss says that the
    model could do without a group, not that the group holds nothing.

    Raises
    ------
    InputError
        The pieces hold fewer than two rows.
    ConfigError
        A pattern of `groups` fits no column that the encoder reads.
    """
    if rows < 2 or repeats < 2:
        raise ValueError(f"found rows {rows} and repeats {repeats}, wanted at least 2 of each")
    members = _columns(checkpoint.encoder, groups or default_groups(checkpoint, days))
    inputs = Inputs(root, orders_of(days), checkpoint.encoder, checkpoint.plan)
    sample = _sample(inputs, pieces, rows=rows, seed=seed)
    deals = [dealt(sample["weight"], np.random.default_rng([seed, i])) for i in range(repeats)]
    checkpoint.model.eval()
    whole = _quality(checkpoint, sample)
    found = []
    for done, (name, columns) in enumerate(members.items()):
        if progress:
            progress("importance", done, len(members), name)
        dealt_out = [
            _quality(checkpoint, _without(checkpoint.encoder, sample, columns=columns, donors=d)) for d in deals
        ]
        losses, aucs = (
            {head: _loss([sign * (one[head][k] - whole[head][k]) for one in dealt_out]) for head in whole}
            for k, sign in ((0, 1.0), (1, -1.0))
        )
        found.append(Importance(name, columns, losses, aucs, len(sample["weight"]), repeats))
    return found


def default_groups(checkpoint: Checkpoint, days: Sequence[PublishedDay]) -> dict[str, list[str]]:
    """Columns that the encoder reads by their declared source (profile:user, group:item, context ...), and the ids."""
    sources = {feature.name: feature.source for feature in days[-1].features}
    declared = {name for name, _, _ in checkpoint.encoder.features}
    found: dict[str, list[str]] = {}
    for name in _names(checkpoint.encoder):
        found.setdefault(sources[name] if name in declared else IDS, []).append(name)
    return found


def dealt(weight: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Row that each row's cells come from, (N,): each row gives N w / sum(w) times, rounded up or down (systematic
    resampling: Kitagawa, JCGS 5, 1996), in random order.
    """
    shares = np.cumsum(weight / weight.sum()) * len(weight)
    shares[-1] = len(weight)
    donors = np.searchsorted(shares, np.arange(len(weight)) + rng.random(), side="right")
    return rng.permutation(donors)


def _names(encoder: Encoder) -> list[str]:
    return [field.name for field in (*encoder.categories, *encoder.numbers)]


def _columns(encoder: Encoder, groups: Groups) -> dict[str, tuple[str, ...]]:
    names = _names(encoder)
    idle = [f"{group}: {p!r}" for group, patterns in groups.items() for p in patterns if not _fitting(names, p)]
    if idle:
        raise ConfigError(
            "groups of features",
            found=f"{', '.join(idle[:3])}: fits none of {len(names)} columns",
            wanted="patterns that fit columns of the encoder, such as " + ", ".join(names[:3]),
            remedy="mend or remove the pattern",
        )
    fits = {group: {n for p in patterns for n in _fitting(names, p)} for group, patterns in groups.items()}
    return {group: tuple(name for name in names if name in members) for group, members in fits.items()}


def _fitting(names: Sequence[str], pattern: str) -> list[str]:
    return [name for name in names if matches(name, pattern)]


def _sample(inputs: Inputs, pieces: Sequence[Piece], *, rows: int, seed: int) -> Rows:
    """At most so many rows: ids (N, F), dense (N, D), labels (N, T), weight (N,)."""
    chosen = _chosen(pieces, wanted=_READ * rows, seed=seed)
    share = min(1.0, 1.2 * rows / max(sum(piece.rows for piece in chosen), 1))
    kept: list[tuple[npt.NDArray, Rows]] = []
    for number, piece in enumerate(chosen):
        rng = np.random.default_rng([seed, number])
        for _, block in inputs.stream([piece]):
            draws = rng.random(len(block["weight"]))
            at = np.flatnonzero(draws < share)
            kept.append((draws[at], {name: block[name][at] for name in ("ids", "dense", "labels", "weight")}))
    draws = np.concatenate([np.empty(0), *(some for some, _ in kept)])
    if len(draws) < 2:
        raise InputError(
            "rows to find importances on",
            found=f"{len(draws)} of them",
            wanted="two at least",
            remedy="name more days",
        )
    least = np.sort(np.argsort(draws, kind="stable")[:rows])
    return {name: np.concatenate([block[name] for _, block in kept])[least] for name in kept[0][1]}


def _chosen(pieces: Sequence[Piece], *, wanted: int, seed: int) -> list[Piece]:
    """Random row groups until they hold the wanted rows, in their own order."""
    places, held = [], 0
    for place in np.random.default_rng(seed).permutation(len(pieces)).tolist():
        if held >= wanted:
            break
        places.append(place)
        held += pieces[place].rows
    return [pieces[place] for place in sorted(places)]


def _without(encoder: Encoder, sample: Rows, *, columns: Sequence[str], donors: npt.NDArray[np.int64]) -> Rows:
    """The rows with the cells of some columns from their donors; a number's missing bit goes with it."""
    places = {
        "ids": [i for i, name in enumerate(encoder.fields) if name in columns],
        "dense": [i for i, name in enumerate(encoder.dense) if name.removesuffix(MISSING) in columns],
    }
    made = dict(sample)
    for part, at in places.items():
        made[part] = sample[part].copy()
        made[part][:, at] = sample[part][donors][:, at]
    return made


def _quality(checkpoint: Checkpoint, rows: Rows) -> dict[str, tuple[float, float]]:
    """(log loss, AUC) of each probability or ratio, corrected, against the traffic."""
    starts = range(0, len(rows["weight"]), _BLOCK)
    blocks = [{part: rows[part][at : at + _BLOCK] for part in ("ids", "dense")} for at in starts]
    logits = np.concatenate([score_batch(checkpoint, block) for block in blocks])  # (N, T)
    _, final = corrected(checkpoint.plan, checkpoint.after, logits=logits)
    found = {}
    for i, head in enumerate(checkpoint.plan.heads):
        if head.name in final and head.kind != "watch":
            y, scores = np.clip(rows["labels"][:, i], 0.0, 1.0), final[head.name]
            weights = rows["weight"]
            found[head.name] = (log_loss(y, scores, weights=weights), auc(y, scores, weights=weights))
    return found


def _loss(values: Sequence[float]) -> Loss:
    return Loss(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values))))
