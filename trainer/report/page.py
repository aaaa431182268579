"""The model report: one HTML file that opens offline.

The page asks the network for nothing: its policy (CSP) allows only the style and the script whose hashes it names. Layout,
colours, tables and their CSV are those of the coverage report (reports/). The same model and metrics give the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.shipped import shipped_folder
from reports.page_html import environment, source_hash, static_text, written_beside
from reports.page_text import count, number, percent, points
from trainer.checkpoint import Checkpoint
from trainer.evaluate import Evaluation
from trainer.importance import Importance
from trainer.report.view import model_view
from trainer.report.words import fixed, known, signed

__all__ = ["render_model_page", "write_model_report"]

_HERE = shipped_folder("trainer.report")
_OWN = _HERE / "static"
_STYLES = ("base.css", "tables.css", "charts.css", _OWN / "model.css", "print.css")
_SCRIPTS = ("core.js", "tables.js", _OWN / "model.js")


def write_model_report(
    checkpoint: Checkpoint,
    evaluations: Mapping[str, Evaluation],
    *,
    out: Path,
    importance: Sequence[Importance] | None = None,
) -> None:
    """Write what there is to say of a model as one HTML file.

    Parameters
    ----------
    checkpoint : Checkpoint
    evaluations : mapping of str to Evaluation
        By name, such as validation and test, the most independent last: the verdict speaks of that one. May be empty.
    out : Path
        File to write, replaced whole or not at all. Its folder is made where absent.
    importance : sequence of Importance, optional
        From `trainer.importance.permutation_importance`.

    Raises
    ------
    ConfigError
        `out` cannot be written, or Jinja2 is not installed.
    """
    page = render_model_page(checkpoint, evaluations, importance=importance)
    with written_beside(Path(out)) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def render_model_page(
    checkpoint: Checkpoint,
    evaluations: Mapping[str, Evaluation],
    *,
    importance: Sequence[Importance] | None = None,
) -> str:
    """The page as HTML text. Arguments as in `write_model_report`; raises ConfigError where Jinja2 is not installed."""
    view = model_view(checkpoint, evaluations, importance=importance)
    style = "".join(static_text(str(name)) for name in _STYLES)
    script = "".join(static_text(str(name)) for name in _SCRIPTS)
    return str(
        _templates()
        .get_template("model.html.j2")
        .render(
            **view,
            page_data={"file": view["file"], "ds": view["file"]},
            style=style,
            script=script,
            style_hash=source_hash(style),
            script_hash=source_hash(script),
        )
    )


def _templates() -> Any:
    """The coverage report's environment, with this page's own templates before its, and NaN written as "no data"."""
    base = environment()
    from jinja2 import ChoiceLoader, FileSystemLoader

    made = base.overlay(loader=ChoiceLoader([FileSystemLoader(_HERE / "templates"), base.loader]))
    made.filters |= {write.__name__: known(write) for write in (count, number, percent, points)}
    made.filters |= {"fixed": fixed, "signed": signed}
    return made
