"""What a network is built for: the size of the table and which inputs there are."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Shape", "Side"]

Side = Literal["user", "item", "cross"]


@dataclass(frozen=True)
class Shape:
    """Inputs of a network.

    Attributes
    ----------
    rows : int
        Rows of the embedding table, all fields together.
    fields, dense : int
        F and N.
    field_sides, dense_sides : tuple of "user", "item" or "cross", of length F and N
        What each input is about: the user, the item, or both or the request. Only the tower models look at them.
    """

    rows: int
    fields: int
    dense: int
    field_sides: tuple[Side, ...]
    dense_sides: tuple[Side, ...]

    def __post_init__(self) -> None:
        if (len(self.field_sides), len(self.dense_sides)) != (self.fields, self.dense):
            raise ValueError(
                f"sides of {len(self.field_sides)} fields and {len(self.dense_sides)} numbers, "
                f"wanted {self.fields} and {self.dense}"
            )
        if unknown := {*self.field_sides, *self.dense_sides} - {"user", "item", "cross"}:
            raise ValueError(f"sides {sorted(unknown)}, wanted user, item or cross")

    def of_side(self, side: Side) -> tuple[list[int], list[int]]:
        """Positions of a side's fields in ids (B, F), and of its numbers in dense (B, N)."""
        fields = [i for i, s in enumerate(self.field_sides) if s == side]
        return fields, [i for i, s in enumerate(self.dense_sides) if s == side]
