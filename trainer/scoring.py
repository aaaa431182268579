"""A model over whole days: logits and labels of every row, kept compactly, so that metrics are exact over all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from trainer.after import columns_of, corrected
from trainer.checkpoint import Checkpoint
from trainer.inputs import Inputs, Rows, orders_of
from trainer.material import Material
from trainer.metrics import log_loss
from trainer.published import PublishedDay
from trainer.rows import Piece, day_columns
from trainer.truth import true_probabilities

__all__ = ["Scored", "score_batch", "score_days", "validation_loss"]

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Scored:
    """Every row of some days, in the order of the days; N rows, T heads, some 4 T + 4 T + 24 bytes a row and its columns.

    Attributes
    ----------
    logits, labels : (N, T) float32
        NaN where a label does not apply.
    weight : (N,) float64
    users, requests : (N,) int64
        A row without a request is one of its own.
    columns : name -> (N,) float64
        What a fusion reads beside the heads, and durations.
    segments : name -> ((N,) int32 codes, names)
        Code -1 is null.
    true : (N, tasks) float64 or None
        True probabilities of a simulated world, NaN where unknown.
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float64]
    users: npt.NDArray[np.int64]
    requests: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[np.float64]]
    segments: dict[str, tuple[npt.NDArray[np.int32], list[str]]]
    true: npt.NDArray[np.float64] | None = None


def score_days(
    checkpoint: Checkpoint,
    *,
    root: str,
    days: Sequence[PublishedDay],
    pieces: Sequence[Piece],
    truth: Path | None = None,
    progress: Progress | None = None,
    stage: str = "score",
) -> Scored:
    """Score every row of the pieces of published days; the model stays where it is, CPU or GPU.

    Raises
    ------
    InputError
        A day has no truth where one is asked for.
    """
    checkpoint.model.eval()
    inputs = _inputs(checkpoint, root=root, days=days)
    kept: list[Rows] = []
    done, total = 0, sum(piece.rows for piece in pieces)
    coders = {name: _Coder() for name in inputs.words}
    for piece in pieces:
        part = _scored_piece(checkpoint, inputs, piece, coders=coders)
        if truth is not None:
            ids = part["impression_id"]
            part["true"] = true_probabilities(truth, piece.ds, impression_ids=ids, tasks=checkpoint.plan.tasks)
        kept.append(part)
        done += piece.rows
        if progress:
            progress(stage, done, total, str(piece.ds))
    return _whole(kept, inputs, coders=coders)


def validation_loss(
    checkpoint: Checkpoint, material: Material, *, root: str, progress: Progress | None = None
) -> float | None:
    """Mean log loss (nats) of the tasks, calibrated, against the traffic; None where there is nothing to validate on."""
    if not material.valid_pieces:
        return None
    days, pieces = material.valid_days, material.valid_pieces
    scored = score_days(checkpoint, root=root, days=days, pieces=pieces, progress=progress, stage="validate")
    plan = checkpoint.plan
    _, final = corrected(plan, checkpoint.after, logits=scored.logits)
    losses = [log_loss(scored.labels[:, i], final[task], weights=scored.weight) for i, task in enumerate(plan.tasks)]
    return float(np.mean(losses))


def _inputs(checkpoint: Checkpoint, *, root: str, days: Sequence[PublishedDay]) -> Inputs:
    present = set.intersection(*(day_columns(root, ds=day.ds, version=day.version) for day in days))
    numbers = columns_of(checkpoint.plan, checkpoint.after, present=sorted(present))
    words = tuple(name for name in checkpoint.config.segments if name in present)
    keys = ("user_id", "impression_id", "request_id")
    return Inputs(root, orders_of(days), checkpoint.encoder, checkpoint.plan, keys, numbers, words)


def _scored_piece(checkpoint: Checkpoint, inputs: Inputs, piece: Piece, *, coders: "dict[str, _Coder]") -> Rows:
    made: list[Rows] = []
    for _, rows in inputs.stream([piece]):
        kept = {"logits": score_batch(checkpoint, rows), "labels": rows["labels"], "weight": rows["weight"]}
        kept |= {name: rows[name] for name in (*inputs.keys, *inputs.numbers)}
        made.append(kept | {name: coder.codes(rows[name]) for name, coder in coders.items()})
    return {name: np.concatenate([rows[name] for rows in made]) for name in made[0]}


def score_batch(checkpoint: Checkpoint, rows: Rows) -> npt.NDArray[np.float32]:
    """Logits (B, T) of rows with `ids` and `dense`."""
    device = next(checkpoint.model.parameters()).device
    with torch.inference_mode():
        logits = checkpoint.model(torch.from_numpy(rows["ids"]).to(device), torch.from_numpy(rows["dense"]).to(device))
    return logits.float().cpu().numpy()


class _Coder:
    """Whole numbers for texts, in the order in which they are met; -1 for null."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def codes(self, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.int32]:
        """Codes (B,) of texts (B,)."""
        local, found = pd.factorize(texts)  # null is -1
        places = [self.places.setdefault(text, len(self.places)) for text in found]
        return np.array([*places, -1], dtype=np.int32)[local]


def _whole(kept: list[Rows], inputs: Inputs, *, coders: dict[str, _Coder]) -> Scored:
    rows: Rows = {}
    for name in list(kept[0]):
        rows[name] = np.concatenate([part.pop(name) for part in kept])
    return Scored(
        rows["logits"],
        rows["labels"],
        rows["weight"],
        rows["user_id"],
        rows["request_id"],
        {name: rows[name] for name in inputs.numbers},
        {name: (rows[name], list(coder.places)) for name, coder in coders.items()},
        rows.get("true"),
    )
