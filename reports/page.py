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
from reports.page_text import cell_text, percent, shown
from reports.page_view import page_view
from reports.read import STATES, read_report_tables

__all__ = ["render_page", "write_report"]

_HERE = Path(__file__).parent


def write_report(root: str, *, last: date, days: int, out: Path, sources: Mapping[str, str] | None = None) -> Path:
    """Write the coverage report of the `days` days that end with `last`.

    Parameters
    ----------
    root : str
        Path or URI that holds the Delta tables coverage, receipts, sampling_rates and quarantine; all but
        coverage may be absent.
    last : date
        Day of the verdict; days without rows are shown as such.
    days : int
        Number of days, 1 or more.
    out : Path
        File to write, replaced whole or not at all. Its folder is made where absent.
    sources : mapping of str to str, optional
        Feature to group, for instance `{f.name: f.source for f in feature_columns(config)}`; absent: guessed
        from the names.

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
    page = render_page(page_view(read_report_tables(root, last=last, days=days), sources=sources))
    return _replace(out, page)


def render_page(view: Mapping[str, Any]) -> str:
    """The page for a view of `page_view`, as HTML text.

    Raises
    ------
    ConfigError
        Jinja2 is not installed.
    """
    style = _static("uplot.min.css") + _static("report.css")
    script = _static("uplot.min.js") + _static("report.js")
    return str(
        _environment()
        .get_template("report.html.j2")
        .render(
            **view,
            state_names=STATES,
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            licence=_static("uplot.LICENSE.txt").strip(),
            chart_data=_chart_data(view),
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
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": True}
    environment.filters |= {
        "shown": shown,
        "percent": percent,
        "cell": cell_text,
        "count": _count,
        "brief": _brief,
        "breakable": _breakable,
    }
    return environment


def _static(name: str) -> str:
    """A file to place between tags as it stands, hence with the line ends that a browser hashes."""
    return (_HERE / "static" / name).read_text(encoding="utf-8").replace("\r\n", "\n").rstrip("\n") + "\n"


def _hash(text: str) -> str:
    """CSP source of an inline element: base64 of SHA-256 over its content (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _chart_data(view: Mapping[str, Any]) -> dict[str, Any]:
    """Series of the charts; null is a gap in the line."""
    labels = view["labels"]
    return {
        "days": view["days"],
        "coverage": [{"name": "coverage", "values": [day["coverage"] for day in view["overall"]]}],
        "labels": [
            {"name": shown(name), "values": [row["rates"][i] for row in labels["rows"]]}
            for i, name in enumerate(labels["names"])
        ],
    }


def _count(number: float | None) -> str:
    return "no data" if number is None else f"{number:,.0f}"


def _breakable(text: str | None) -> Any:
    """Escaped text that may wrap after an underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in shown(text).split("_"))


def _brief(text: str, limit: int = 300) -> str:
    """Long notes cut, saying so."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"
