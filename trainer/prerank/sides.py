"""Inputs of some sides of a tower model alone: encoded from their own columns, the others need not be there.

Legend: B rows, F looked-up fields and N dense inputs of the whole model, f and n those of the part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer.encode import Encoder, encode
from trainer.encode.fields import Side

__all__ = ["Part", "encode_part", "part_of"]


@dataclass(frozen=True)
class Part:
    """The columns of some sides, and where their inputs stand among all.

    Attributes
    ----------
    encoder : Encoder
        Of these columns alone.
    shape : (F, N)
    fields : (f,) places in `ids`
    dense : (n,) places in `dense`
    shift : (f,) what the part's own rows of the embedding table lie short of the whole model's
    """

    encoder: Encoder
    shape: tuple[int, int]
    fields: npt.NDArray[np.int64]
    dense: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]


def part_of(encoder: Encoder, *sides: Side) -> Part:
    """The part of an encoder that is about `sides`."""
    categories = tuple(c for c in encoder.categories if c.side in sides)
    numbers = tuple(n for n in encoder.numbers if n.side in sides)
    names = {field.name for field in (*categories, *numbers)}
    own = Encoder(categories, numbers, tuple(f for f in encoder.features if f[0] in names))
    fields = np.array([encoder.fields.index(name) for name in own.fields], dtype=np.int64)
    dense = np.array([encoder.dense.index(name) for name in own.dense], dtype=np.int64)
    return Part(own, (len(encoder.fields), len(encoder.dense)), fields, dense, encoder.offsets[fields] - own.offsets[:])


def encode_part(
    part: Part, rows: pa.RecordBatch | pa.Table, *, state_order: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Inputs of the whole model, ids (B, F) and dense (B, N), with 0 for all that is not of the part.

    Raises as `trainer.encode.encode`, and needs only the columns of `part.encoder`.
    """
    own_ids, own_dense = encode(part.encoder, rows, state_order=state_order)  # (B, f), (B, n)
    ids = np.zeros((rows.num_rows, part.shape[0]), dtype=np.int64)
    dense = np.zeros((rows.num_rows, part.shape[1]), dtype=np.float32)
    ids[:, part.fields] = own_ids + part.shift
    dense[:, part.dense] = own_dense
    return ids, dense
