"""The comparison of two sides: one offline HTML page without a script, and a table for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.bins import QUANTILES
from reports.compare import Comparison
from reports.measured import Difference
from reports.page_html import environment, source_hash, static_text, written_beside
from reports.page_text import number, percent, points, shown

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["compare_table", "render_comparison", "write_comparison"]

MOST = 20
"""Features in the terminal's table."""

_STYLES = ("base.css", "tables.css", "print.css")
_SHOWN = {share: f"{share:.0%}" for share in QUANTILES[1:-1]}


def write_comparison(found: Comparison, *, out: Path) -> Path:
    """Write the page, whole or not at all.

    Raises
    ------
    ConfigError
        `out` cannot be written, or Jinja2 is not installed.
    """
    page = render_comparison(found)
    with written_beside(out) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return out


def render_comparison(found: Comparison) -> str:
    """The page as HTML text; it allows the one style that it holds and nothing else."""
    style = "".join(map(static_text, _STYLES))
    rows = [_row(one) for one in found.differences]
    template = environment().get_template("compare.html.j2")
    return str(
        template.render(
            a=found.a.label,
            b=found.b.label,
            weighing=found.weighing,
            rows=rows,
            quantiles=list(_SHOWN.values()),
            sure=sum(one.is_sure for one in found.differences),
            only=[(found.a.label, "A", found.only_a), (found.b.label, "B", found.only_b)],
            style=style,
            style_hash=source_hash(style),
        )
    )


def _row(one: Difference) -> dict[str, Any]:
    values = [dict(zip(QUANTILES, side.quantiles, strict=False)) for side in (one.a, one.b)]
    return {
        "feature": one.feature,
        "types": list(dict.fromkeys(side.type for side in (one.a, one.b) if side.type)),
        "coverage": [one.a.coverage, one.b.coverage],
        "rows": [one.a.rows, one.b.rows],
        "change": one.change,
        "interval": _interval(one),
        "is_sure": one.is_sure,
        "psi": one.psi,
        "js": one.js,
        "quantiles": [[side.get(share) for side in values] for share in _SHOWN],
    }


def _interval(one: Difference) -> str:
    if one.low is None or one.high is None:
        return "no data"
    return f"{one.low * 100:+.1f} to {one.high * 100:+.1f} pp"


def compare_table(found: Comparison) -> "Table":
    """The features whose coverage differs most, with the interval and how far the values are apart."""
    from rich.table import Table
    from rich.text import Text

    title = f"Coverage of {shown(found.a.label)} (A) and {shown(found.b.label)} (B): {len(found.differences)} features"
    table = Table(title=Text(title), caption=Text(_caption(found)))
    table.add_column("feature", overflow="fold")
    for heading in ("A", "B", "B - A", "95 % interval", "PSI", "median A", "median B"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found.differences[:MOST]:
        medians = [dict(zip(QUANTILES, side.quantiles, strict=False)).get(0.5) for side in (one.a, one.b)]
        cells = [percent(one.a.coverage), percent(one.b.coverage), points(one.change), _interval(one), number(one.psi)]
        table.add_row(Text(shown(one.feature)), *cells, *map(number, medians))
    if not found.differences:
        table.add_row("no feature on both sides", *["-"] * 7)
    return table


def _caption(found: Comparison) -> str:
    sure = sum(one.is_sure for one in found.differences)
    most = f"the {MOST} that differ most; " if len(found.differences) > MOST else ""
    return f"{most}{sure} differ by more than chance"
