"""Coverage of one day for the terminal: the features that need a look, worst first."""

from datetime import date
from typing import TYPE_CHECKING

from reports.page_text import percent, shown
from reports.page_worse import coverage_of, worst_first
from reports.read import STATES, Row, read_coverage

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["coverage_table"]

WORST = 15
"""Features in the summary."""


def coverage_table(root: str, *, ds: date) -> "Table":
    """The 15 features with the lowest coverage on `ds`, with the share of the traffic in each state.

    Parameters
    ----------
    root : str
        Path or URI that holds the Delta table coverage.
    ds : date
        Day of the impressions.

    Returns
    -------
    rich.table.Table
        One row per feature; one that says "no data" where the day has no rows.

    Raises
    ------
    InputError
        There is no coverage table.
    """
    from rich.table import Table
    from rich.text import Text

    rows = read_coverage(root, ds=ds)
    title = f"Coverage of {ds}: {percent(coverage_of(rows))} of the traffic over {len(rows)} features"
    table = Table(title=Text(title), caption=Text(f"the {WORST} lowest") if len(rows) > WORST else None)
    table.add_column("feature", overflow="fold")
    for heading in ("coverage", *STATES):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in worst_first(rows)[:WORST]:
        table.add_row(Text(shown(row["feature"])), percent(row["coverage"]), *(_share(row, state) for state in STATES))
    if not rows:
        table.add_row("no data", *["-"] * (1 + len(STATES)))
    return table


def _share(row: Row, state: str) -> str:
    weight = row[f"weight_{state}"]
    return percent(weight / row["weight"]) if row["weight"] and weight is not None else "no data"
