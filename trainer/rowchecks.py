"""What every row must hold before anything is learnt from it or judged by it: weights that are one over the rate, labels in their domain."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError
from trainer.columns import column, floats
from trainer.rows import Piece, read_piece

__all__ = ["check_rows", "checked_label", "checked_weights"]

_SHARES = ("label_completed",)  # 0 or 1, or null where it does not apply
_AMOUNTS = ("label_watch_s", "label_completion")  # from 0, or null where it does not apply
_REMEDY = "build the day again: headrace run --ds DAY --rebuild"


def check_rows(
    root: str, pieces: Sequence[Piece], *, labels: Sequence[str], progress: Callable[[int], None] | None = None
) -> None:
    """Read weights, rates and labels of the pieces, and nothing else.

    Raises
    ------
    InputError
        A weight is not one over its rate, or a label is not what it should be.
    """
    done = 0
    for piece in pieces:
        for batch in read_piece(root, piece, columns=[*labels, "sampling_rate", "sample_weight"]):
            checked_weights(batch)
            for name in labels:
                checked_label(batch, name)
            done += batch.num_rows
            if progress:
                progress(done)


def checked_weights(batch: pa.RecordBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(rates, weights), (B,) each. A rate that is no probability, or a weight that is not its inverse, would bend every estimate unseen."""
    rates, weight = (floats(column(batch, name), name=name) for name in ("sampling_rate", "sample_weight"))
    with np.errstate(invalid="ignore", over="ignore"):
        good = (rates > 0) & (rates <= 1) & np.isclose(weight * rates, 1.0, rtol=1e-9, atol=0.0)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(
            "training_set: sampling_rate and sample_weight",
            found=f"{int((~good).sum())} rows like rate {rates[at]}, weight {weight[at]}",
            wanted="a rate in (0, 1] and a weight of 1 / rate on every row",
            remedy=_REMEDY,
        )
    return rates, weight


def checked_label(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A label (B,) float64, NaN where it does not apply: 0 or 1 of an action, never null; amounts from 0."""
    cells = column(batch, name)
    values = floats(cells, name=name)
    known = ~np.isnan(values)
    amount = name in _AMOUNTS
    with np.errstate(invalid="ignore"):
        good = (np.isfinite(values) & (values >= 0)) if amount else np.isin(values, (0.0, 1.0))
    may_be_null = amount or name in _SHARES
    bad = int((~good).sum()) - (cells.null_count if may_be_null else 0)
    if bad:
        shown = values[~good & known][:1]
        raise InputError(
            f"training_set: {name}",
            found=f"{bad} cells that are NaN, infinite or negative"
            if amount
            else f"{bad} cells such as {shown[0] if len(shown) else 'null'}",
            wanted="a finite number from 0, or null where there is nothing to watch"
            if amount
            else "0 or 1" + (", or null where there is nothing to watch" if may_be_null else " on every row"),
            remedy=_REMEDY,
        )
    return values
