"""`headrace report`: the page, and a short table for the terminal."""

from datetime import date
from pathlib import Path

from rich.console import Console

from headrace.config import Config, feature_columns

__all__ = ["report_page"]


def report_page(config: Config, *, ds: date, days: int, out: Path, console: Console) -> Path:
    """Write the coverage page of the `days` days that end with `ds`."""
    from reports.page import write_report
    from reports.terminal import coverage_table

    sources = {f.name: f.source for f in feature_columns(config)}
    page = write_report(config.root, last=ds, days=days, out=out, sources=sources)
    console.print(coverage_table(config.root, ds=ds))
    console.print(f"report: {page}")
    return page
