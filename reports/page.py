"""The coverage report: one HTML file that opens offline, for analysts.

The page asks the network for nothing: its policy (CSP) allows only the style and script whose hashes it names.
The same tables give the same bytes.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from headrace.errors import ConfigError
from reports.page_detail import packed
from reports.page_features import Facts
from reports.page_text import count, number, percent, points, shown, wrapping
from reports.page_view import page_view
from reports.read import STATES, read_report_tables

__all__ = ["render_page", "write_report"]

_HERE = Path(__file__).parent
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
    return _replace(out, page)


def render_page(view: Mapping[str, Any]) -> str:
    """The page for a view of `page_view`, as HTML text.

    Raises
    ------
    ConfigError
        Jinja2 is not installed.
    """
    style = "".join(map(_static, _STYLES))
    script = "".join(map(_static, _SCRIPTS))
    return str(
        _environment()
        .get_template("report.html.j2")
        .render(
            **{name: part for name, part in view.items() if name != "detail"},
            state_names=STATES,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            licence=_static("uplot.LICENSE.txt").strip(),
            page_data=_page_data(view),
            detail=packed(view["detail"]),
        )
    )


def _replace(out: Path, page: str) -> Path:
    """Write beside `out`, then take its place, so that no reader meets half a page."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8", newline="\n")
        partial.replace(out)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ConfigError(
            str(out), found=str(error.strerror), wanted="a file that can be written", remedy="change --out"
        ) from None
    return out


def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise ConfigError(
            "report",
            found="Jinja2 is not installed",
            wanted="the extra `report`",
            remedy="pip install 'headrace[report]'",
        ) from None
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": True, "separators": (",", ":")}
    kept = (shown, percent, points, count, number, wrapping)
    environment.filters |= {function.__name__: function for function in kept}
    return environment


def _static(name: str) -> str:
    """A file to place between tags as it stands, hence with the line ends that a browser hashes."""
    return (_HERE / "static" / name).read_text(encoding="utf-8").replace("\r\n", "\n").rstrip("\n") + "\n"


def _hash(text: str) -> str:
    """CSP source of an inline element: base64 of SHA-256 over its content (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


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
