"""The six states of a cell (S31 to S33), found before defaults fill the nulls. Arrow and numpy only."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.config import Feature

__all__ = ["STATES", "cell_states", "fill_default"]

STATES = ("real", "true_zero", "default_filled", "null", "stale", "no_entity")
REAL, TRUE_ZERO, DEFAULT_FILLED, NULL, STALE, NO_ENTITY = range(6)


def cell_states(
    column: pa.Array, feature: Feature, *, known: NDArray[np.bool_] | None, stale: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """State of every cell of one column, first match wins: no_entity, stale, default_filled, null, true_zero, real.

    Parameters
    ----------
    known : bool (N,) or None
        Whether the key (or profile) was there; None for context, which has no entity.
    stale : bool (N,) or None
        Whether the source is older than its tolerance.
    """
    empty = _is_null(column)
    states = np.full(len(column), REAL, dtype=np.uint8)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        states[pc.fill_null(pc.equal(column, 0), False).to_numpy(zero_copy_only=False)] = TRUE_ZERO
    states[empty] = NULL if feature.default is None else DEFAULT_FILLED
    if stale is not None:
        states[stale] = STALE
    if known is not None:
        states[~known] = NO_ENTITY
    return states


def _is_null(column: pa.Array) -> NDArray[np.bool_]:
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)


def fill_default(column: pa.Array, feature: Feature) -> pa.Array:
    """Nulls (and NaN) replaced by the declared default; without one NaN becomes null and nulls stay."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if feature.default is None:
        return column
    return pc.fill_null(column, pa.scalar(feature.default, column.type))
