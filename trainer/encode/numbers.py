"""Numbers to dense inputs: logarithm, standardising, clipping, and the bit that says that there is none."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from trainer.columns import MISSING_STATES, column, plain
from trainer.encode.fields import Encoder, Scales

__all__ = ["dense_inputs", "signed_log"]

_BLOCK = 4096  # rows: what is worked on stays in the cache


def signed_log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """sign(x) log(1 + |x|), a new array; torch takes several logarithms at a time where numpy takes one."""
    made = np.abs(values)
    torch.log1p(torch.from_numpy(made), out=torch.from_numpy(made))
    return np.copysign(made, values, out=made)


def dense_inputs(
    encoder: Encoder,
    batch: pa.RecordBatch,
    *,
    states: npt.NDArray[np.uint8],
    places: Mapping[str, int],
    out: npt.NDArray[np.float32],
) -> None:
    """Write the dense inputs of B rows: N numbers, and the missing bits of M of them.

    Parameters
    ----------
    encoder : Encoder
    batch : RecordBatch of B rows
    states : (B, S) uint8, `feature_states` of the day
    places : column of `states` by feature
    out : (B, N + M) float32

    Raises
    ------
    InputError
        A column does not hold numbers.
    """
    scales, numbers = encoder.scales, encoder.numbers
    columns = [plain(column(batch, numbers[i].name), name=numbers[i].name) for i in scales.order]
    bits = {i: len(numbers) + m for m, i in enumerate(i for i, number in enumerate(numbers) if number.missing)}
    stated = [places[numbers[i].name] for i in scales.order]
    for start in range(0, len(out) if numbers else 0, _BLOCK):
        rows = slice(start, start + _BLOCK)
        x, bad = _scaled([(values[rows], None if nulls is None else nulls[rows]) for values, nulls in columns], scales)
        missing = ((states[rows][:, stated] >= MISSING_STATES[0]).T | bad).astype(np.float32)  # (N, b)
        for k, i in enumerate(scales.order):
            out[rows, i] = x[k]
            if i in bits:
                out[rows, bits[i]] = missing[k]


def _scaled(
    columns: Sequence[tuple[npt.NDArray, npt.NDArray[np.bool_] | None]], scales: Scales
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Standardised and cut, (N, b), 0 where there is no finite number; and where that is. Logarithms come first."""
    x = np.empty((len(columns), len(columns[0][0])))
    for cells, (values, nulls) in zip(x, columns, strict=True):
        cells[:] = values
        if nulls is not None:
            cells[nulls] = np.nan
    bad = ~np.isfinite(x)
    x[: scales.logs] = signed_log(x[: scales.logs])
    with np.errstate(over="ignore"):  # what overflows is cut just below
        x -= scales.mean
        x /= scales.std
    np.clip(x, -scales.limit, scales.limit, out=x)
    if bad.any():
        x[bad] = 0.0
    return x, bad
