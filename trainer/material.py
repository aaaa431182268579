"""What a run learns from and what it is validated on."""

from dataclasses import dataclass

from trainer.published import PublishedDay
from trainer.rows import Piece

__all__ = ["Material"]


@dataclass(frozen=True)
class Material:
    """Published days and the row groups of them, or the rows of one split in each, to learn from and to validate on."""

    days: list[PublishedDay]
    pieces: list[Piece]
    valid_days: list[PublishedDay]
    valid_pieces: list[Piece]
