"""Rows to the network's two inputs, with a fitted encoder. B rows, F looked-up columns, N dense inputs, S features."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer.columns import batches, row_states
from trainer.encode.fields import Encoder
from trainer.encode.lookup import look_up
from trainer.encode.numbers import dense_inputs

__all__ = ["encode"]


def encode(
    encoder: Encoder, rows: pa.RecordBatch | pa.Table, *, state_order: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Rows as the network's two inputs.

    Parameters
    ----------
    encoder : Encoder
    rows : B rows with the columns `encoder.columns`
    state_order : names
        Features of these rows' own day, in the order of the bytes of `feature_states`.

    Returns
    -------
    ids : (B, F) int64, rows of the embedding table, as `encoder.fields` names them
    dense : (B, N) float32, as `encoder.dense` names them

    Raises
    ------
    InputError
        A column holds something else than its encoding is for, or states do not fit.
    """
    ids = np.empty((rows.num_rows, len(encoder.categories)), dtype=np.int64)
    dense = np.empty((rows.num_rows, len(encoder.dense)), dtype=np.float32)
    places = {name: place for place, name in enumerate(state_order)}
    start = 0
    for batch in batches(rows):
        part = slice(start, start + batch.num_rows)
        states = row_states(batch, state_order)
        look_up(encoder, batch, states=states, places=places, out=ids[part])
        dense_inputs(encoder, batch, states=states, places=places, out=dense[part])
        start = part.stop
    return ids, dense
