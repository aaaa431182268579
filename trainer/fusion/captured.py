"""What the top of each request holds, for any scores of its rows: padded matrices, so that many scorings are cheap.

Legend: N rows, R requests, M rows of a request (padded to a power of two), P parts of the utility.

A row fills slots of its request in the order of falling scores, until `top` slots are full. Tied rows share the slots that are
left for them evenly: what a random order among them brings on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Block", "captured", "pack"]

Floats = npt.NDArray[np.float64]
_NO_SLOT = 1e-100  # what a tie of padded rows is divided by


@dataclass(frozen=True)
class Block:
    """Requests of like size.

    Attributes
    ----------
    rows : (R, M) int64, -1 where padded
    slots : (R, M) float64, how many positions a row fills; 0 where padded
    gains : (P, R, M) float64, what a row brings if all its slots are among the top; 0 where padded
    """

    rows: npt.NDArray[np.int64]
    slots: Floats
    gains: Floats


def pack(requests: npt.NDArray, *, slots: Floats, gains: Floats) -> list[Block]:
    """Blocks of rows that stand request by request; what a padded row is called does not matter.

    Parameters
    ----------
    requests : (N,) non-decreasing
    slots : (N,) positive
    gains : (P, N)
    """
    starts = np.flatnonzero(np.r_[True, requests[1:] != requests[:-1]])[: len(requests)]
    sizes = np.diff(np.r_[starts, len(requests)])
    widths = 2 ** np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    blocks = []
    for width in np.unique(widths):
        at = widths == width
        rows = starts[at, None] + np.arange(width)  # (R, M)
        padded = np.arange(width) >= sizes[at, None]
        rows[padded] = -1
        blocks.append(Block(rows, np.where(padded, 0.0, slots[rows]), np.where(padded, 0.0, gains[:, rows])))
    return blocks


def captured(blocks: Sequence[Block], scores: Floats, *, top: float) -> Floats:
    """What the top of each request holds of each part, (P, R), requests block by block.

    Parameters
    ----------
    scores : (N,) float64; minus infinity is a score, NaN is not
    top : slots
    """
    keys = np.append(-scores, np.inf)  # a padded row is -1, the last
    return np.concatenate([_of_block(block, keys[block.rows], top=top) for block in blocks], axis=1)


def _of_block(block: Block, keys: Floats, *, top: float) -> Floats:
    order = np.argsort(keys, axis=1)  # (R, M)
    sorted_shares = _shares(
        np.take_along_axis(keys, order, axis=1), np.take_along_axis(block.slots, order, axis=1), top=top
    )
    shares = np.empty_like(keys)
    np.put_along_axis(shares, order, sorted_shares, axis=1)
    return np.einsum("prm,rm->pr", block.gains, shares)


def _shares(keys: Floats, slots: Floats, *, top: float) -> Floats:
    """Share of each row's slots that is among the top, (R, M), rows in order of their keys."""
    until = np.cumsum(slots, axis=1)
    same = keys[:, 1:] == keys[:, :-1]  # (R, M - 1) tied with the row before
    edge = np.ones((len(keys), 1), dtype=bool)
    first, last = np.hstack([edge, ~same]), np.hstack([~same, edge])
    above = np.maximum.accumulate(np.where(first, until - slots, 0.0), axis=1)  # slots above the tie
    below = np.where(last, until, np.inf)[:, ::-1]
    through = np.minimum.accumulate(below, axis=1)[:, ::-1]  # slots through the tie
    return np.clip((top - above) / np.maximum(through - above, _NO_SLOT), 0.0, 1.0)
