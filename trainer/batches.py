"""Rows of published days as shuffled mini-batches, with a bounded number of rows in memory.

Two shuffles: the order of row groups over all days, and a window of rows that is permuted each time it fills; half of it
goes out and half stays, so that rows of neighbouring windows mix. Both come from one seeded generator.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer.columns import column, integers
from trainer.encoders import Encoder, encode
from trainer.fitting import any_positive
from trainer.published import PublishedDay
from trainer.rows import Piece, read_piece
from trainer.tasks import ANY, Plan

__all__ = ["Rows", "encoded_rows", "shuffled_batches"]

# Arrays of one length B: ids (B, F) int64, dense (B, N) float32, labels (B, heads) float32, weight (B,) float64.
Rows = dict[str, npt.NDArray]


def encoded_rows(
    root: str, pieces: Sequence[Piece], *, days: Mapping, encoder: Encoder, plan: Plan, also: Sequence[str] = ()
) -> Iterator[Rows]:
    """Row groups in the given order, encoded batch by batch.

    Parameters
    ----------
    root : str
    pieces : row groups
    days : dict of date to PublishedDay
        Says in which order each day's `feature_states` stand.
    encoder, plan
        From fitting or from a checkpoint.
    also : names
        Whole-number columns to carry along as (B,) int64.
    """
    for piece in pieces:
        day: PublishedDay = days[piece.ds]
        order = [feature.name for feature in day.features]
        labels = [f"label_{task}" for task in plan.tasks]
        needed = [*labels, *(f"label_{a}" for a in plan.positive)] if ANY in plan.heads else labels
        columns = [*dict.fromkeys([*encoder.columns, *needed, "sample_weight", *also])]
        for batch in read_piece(root, piece, columns=columns):
            ids, dense = encode(encoder, batch, state_order=order)
            weight = column(batch, "sample_weight").to_numpy(zero_copy_only=False)
            rows = {"ids": ids, "dense": dense, "labels": _labels(batch, plan), "weight": weight}
            yield rows | {name: integers(batch, name) for name in also}


def _labels(batch: pa.RecordBatch, plan: Plan) -> npt.NDArray[np.float32]:
    """(B, heads), 0 or 1."""
    made = [
        any_positive(batch, plan.positive) if head == ANY else integers(batch, f"label_{head}") > 0
        for head in plan.heads
    ]
    return np.stack(made, axis=1).astype(np.float32)


def shuffled_batches(
    stream: Iterator[Rows], *, batch_size: int, window: int, rng: np.random.Generator
) -> Iterator[Rows]:
    """Cut a stream into batches of `batch_size` rows (the last may be shorter), drawn from a window of rows.

    Parameters
    ----------
    stream : iterator of Rows
    batch_size, window : int
        Rows. No more than window + one incoming batch are held.
    rng : numpy Generator
    """
    held: list[Rows] = []
    count = 0
    for rows in stream:
        held.append(rows)
        count += len(rows["weight"])
        if count >= max(window, 2 * batch_size):
            mixed = _permuted(held, rng)
            out = max(count // 2 // batch_size, 1) * batch_size
            yield from _cut({name: cells[:out] for name, cells in mixed.items()}, batch_size)
            held = [{name: cells[out:] for name, cells in mixed.items()}]
            count -= out
    if count:
        yield from _cut(_permuted(held, rng), batch_size)


def _permuted(held: Sequence[Rows], rng: np.random.Generator) -> Rows:
    order = rng.permutation(sum(len(rows["weight"]) for rows in held))
    return {name: np.concatenate([rows[name] for rows in held])[order] for name in held[0]}


def _cut(rows: Rows, size: int) -> Iterator[Rows]:
    for start in range(0, len(rows["weight"]), size):
        yield {name: cells[start : start + size] for name, cells in rows.items()}
