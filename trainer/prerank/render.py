"""Results of pre-ranking as rich renderables; printing them is the caller's."""

import math

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainer.prerank.items import Exported
from trainer.prerank.recall import Kept, Recall
from trainer.prerank.scoring import Preranked

__all__ = ["render_export", "render_preranked", "render_recall"]


def render_export(found: Exported) -> Text:
    """How many vectors were written, and of which model."""
    return Text(
        f"{found.items} items of {found.rows} rows: vectors of {found.width} numbers, "
        f"version {found.version[:12]}, into {found.out}"
    )


def render_preranked(found: Preranked) -> Group:
    """What was written, and what it took."""
    counts = found.counts
    lines = [
        f"{counts.rows} rows scored into {found.out}; the user's tower was run {counts.users} times",
        f"{counts.computed} rows of items without a vector: made from the rows themselves" if counts.computed else "",
        f"columns: {', '.join(found.columns)}",
        "" if found.states else "The input has no feature_states: nulls are missing cells, all others measured.",
    ]
    return Group(*(Text(line) for line in lines if line))


def render_recall(found: Recall) -> Group:
    """The share of the ranker's top that is kept, for each number of kept candidates."""
    table = Table(title=f"Recall of the ranker's first {found.top}, by {found.by}", title_justify="left")
    for heading in ("kept", "recall", "95 % interval", "at random"):
        table.add_column(heading, justify="right")
    for kept in found.kept:
        table.add_row(str(kept.keep), f"{kept.mean:.3f}", _interval(kept), f"{kept.chance:.3f}")
    said = f"Mean over {found.requests} requests of {found.candidates:.1f} candidates on average"
    left = f"; {found.skipped} with no more than {found.kept[-1].keep} left out" if found.skipped else ""
    return Group(table, Text(said + left))


def _interval(kept: Kept) -> str:
    return "-" if math.isnan(kept.low) else f"{kept.low:.3f} to {kept.high:.3f}"
