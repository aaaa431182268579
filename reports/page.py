"""The coverage report: one HTML file that opens offline, for analysts.

The page asks the network for nothing: its policy (CSP) allows only the style and script whose hashes it names.
The same tables give the same bytes.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from reports.page_detail import packed
from reports.page_features import Facts
from reports.page_html import environment, source_hash, static_text, written_beside
from reports.page_view import page_view
from reports.read import STATES, read_report_tables

__all__ = ["render_page", "write_report"]

_STYLES = ("uplot.min.css", "base.css", "tables.css", "charts.css", "print.css")
_SCRIPTS = ("uplot.min.js", "core.js", "tables.js", "charts.js", "bars.js", "overview.js", "feature.js", "start.js")


def write_report(root: str, *, last: date, days: int, out: Path, facts: Facts | None = None) -> Path:
    """Write the coverage report of the `days` days that end with `last`.

    Parameters
    ----------
    root : str
        Path or URI that holds the Delta tables coverage, gate_results, receipts, sampling_rates and quarantine; all but
        coverage may be absent.
    last : date
        Day of the verdict; days without rows are shown as such.
    days : int
        Number of days, 1 or more.
    out : Path
        File to write, replaced whole or not at all. Its folder is made where absent.
    facts : mapping of str to dict, optional
        Feature to what is known of it, `reports.facts.feature_facts(config, ds=last, days=days)`, in the order to show
        them; any key may be missing. Without, groups are guessed from the names.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConfigError
        `days` is below 1, `out` cannot be written, or Jinja2 is not installed.
    InputError
        There is no coverage table, or one that lacks columns.
    """
    page = render_page(page_view(read_report_tables(root, last=last, days=days), facts=facts))
    with written_beside(out) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return out


def render_page(view: Mapping[str, Any]) -> str:
    """The page for a view of `page_view`, as HTML text.

    Raises
    ------
    ConfigError
        Jinja2 is not installed.
    """
    style = "".join(map(static_text, _STYLES))
    script = "".join(map(static_text, _SCRIPTS))
    return str(
        environment()
        .get_template("report.html.j2")
        .render(
            **{name: part for name, part in view.items() if name != "detail"},
            state_names=STATES,
            style=style,
            script=script,
            style_hash=source_hash(style),
            script_hash=source_hash(script),
            licence=static_text("uplot.LICENSE.txt").strip(),
            page_data=_page_data(view),
            detail=packed(view["detail"]),
        )
    )


def _page_data(view: Mapping[str, Any]) -> dict[str, Any]:
    """What the script needs at once: series of the charts (null is a gap in the line) and what features sort by."""
    lines = {
        "coverage": [{"name": "coverage", "values": [day["coverage"] for day in view["overall"]]}],
        "labels": _series(view["labels"]),
        "kept": _series(view["kept"]),
    }
    return {
        "ds": view["ds"],
        "days": view["days"],
        "states": STATES,
        "earlier": bool(view["detail"]["receipts"]),
        "lines": lines,
        "features": [_sortable(feature) for feature in view["features"]],
    }


def _series(rates: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "values": [row["rates"][i] for row in rates["rows"]]} for i, name in enumerate(rates["names"])
    ]


def _sortable(feature: Mapping[str, Any]) -> dict[str, Any]:
    change, row = feature["change"], feature["row"]
    numbers = {"coverage": change.now, "day": change.by_day, "median": change.by_median, "psi": row and row["psi"]}
    return {
        "name": feature["text"],
        **{key: feature[key] for key in ("group", "entity", "window")},
        **{key: None if value is None else round(value, 5) for key, value in numbers.items()},
        "lost": round(change.fall * row["weight"]) if row and row["weight"] else 0,
        "shares": feature["shares"] and [round(feature["shares"][state], 5) for state in STATES],
    }
