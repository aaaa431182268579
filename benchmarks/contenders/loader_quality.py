"""How well an order is shuffled: correlation of places, runs of labels, and label rates of batches, beside a true permutation.

The label's rate drifts with time, so an order that keeps time shows in all of them. As a contender: Headrace's orders
with windows of several sizes, the order of the files, and a permutation.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks.contenders.common import Job, contend
from benchmarks.contenders.loader_common import BATCH, rows_files
from benchmarks.contenders.loader_headrace import loader_of
from benchmarks.trainworlds import KEY, LABELS

__all__ = ["build", "labels_by_key", "quality", "run_lengths"]

_WINDOWS = (8_192, 32_768, 131_072, 524_288)
_LONGEST = 50  # runs as long as this or longer are counted together
Ints = npt.NDArray[np.int64]


def build(job: Job) -> dict[str, Any]:
    """Quality of orders by name."""
    labels = labels_by_key(job.world)
    rng = np.random.default_rng(1)
    orders = {"order of the files": np.arange(len(labels)), "true permutation": rng.permutation(len(labels))}
    for window in _WINDOWS:
        loader = loader_of(rows_files(job.world), columns=(KEY,), workers=0, window=window)
        orders[f"window {window:,}"] = np.concatenate([batch[KEY].numpy() for _, batch in loader.epoch(0)])
    return {name: quality(order, labels) for name, order in orders.items()}


def labels_by_key(world: Any) -> npt.NDArray[np.bool_]:
    """The first label of every row (N,), at the place that its key names."""
    tables = [pq.read_table(file, columns=[KEY, LABELS[0]]) for file in rows_files(world)]
    keys = np.concatenate([table[KEY].to_numpy() for table in tables])
    labels = np.concatenate([table[LABELS[0]].to_numpy() for table in tables])
    return (labels[np.argsort(keys)] > 0).astype(bool)


def quality(order: Ints, labels: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Figures of one order.

    Parameters
    ----------
    order : (N,) int64
        Keys, which are places before, in the order after.
    labels : (N,) bool
        By key.

    Returns
    -------
    correlation : of the place before and the place after; 0 for a permutation, within 1 / sqrt(N)
    neighbours : mean distance before of rows that are side by side after, as a part of a permutation's, N / 3
    runs : runs of equal labels, as a part of those expected of a permutation, 1 + 2 a b / N for a and b rows of a class
    runs_apart : half the sum of differences between the shares of run lengths here and of a permutation, 0 to 1
    longest_run : rows
    batch_spread : variance of the label's rate over full batches, as a part of a permutation's, p q / B
    """
    after = labels[order]
    lengths, total, positives = run_lengths(after), len(order), int(labels.sum())
    expected = 1 + 2 * positives * (total - positives) / total
    apart = 0.5 * float(np.abs(_shares(lengths) - _expected(positives / total)).sum())
    return {
        "correlation": round(float(np.corrcoef(order, np.arange(total))[0, 1]), 5),
        "neighbours": round(float(np.abs(np.diff(order)).mean()) / (total / 3), 4),
        "runs": round(len(lengths) / expected, 4),
        "runs_apart": round(apart, 4),
        "longest_run": int(lengths.max()),
        "batch_spread": round(_batch_spread(after), 3),
    }


def run_lengths(labels: npt.NDArray[np.bool_]) -> Ints:
    """Lengths of the runs of equal labels, in their order."""
    ends = np.flatnonzero(labels[1:] != labels[:-1])
    return np.diff(np.concatenate([[-1], ends, [len(labels) - 1]]))


def _shares(lengths: Ints) -> npt.NDArray[np.float64]:
    counts = np.bincount(np.minimum(lengths, _LONGEST), minlength=_LONGEST + 1)
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _expected(rate: float) -> npt.NDArray[np.float64]:
    """Shares of run lengths in a permutation: half the runs are of each class, and each goes on as its next row decides."""
    more = np.arange(_LONGEST)  # rows after the first
    on = 0.5 * (rate**more * (1 - rate) + (1 - rate) ** more * rate)
    return np.concatenate([[0.0], on[:-1], [1 - on[:-1].sum()]])


def _batch_spread(after: npt.NDArray[np.bool_]) -> float:
    full = len(after) // BATCH
    rates = after[: full * BATCH].reshape(full, BATCH).mean(axis=1) if full else np.zeros(0)
    rate = float(after.mean())
    return float(np.var(rates, ddof=1)) * BATCH / (rate * (1 - rate)) if full > 1 else float("nan")


if __name__ == "__main__":
    contend(build)
