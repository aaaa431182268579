"""`headrace report`: the page, and a short table for the terminal."""

from datetime import date
from pathlib import Path

from rich.console import Console

from headrace.config import Config, feature_columns
from headrace.delta import delta_files, is_table
from headrace.errors import InputError

__all__ = ["report_page"]


def _check_held(config: Config, ds: date) -> None:
    """Raise InputError (exit 4) where coverage of `ds` was never counted."""
    uri = f"{config.root}/coverage"
    held = sorted({file.ds for file in delta_files(uri)}) if is_table(uri) else []
    if held and ds not in held:
        raise InputError(
            f"report of {ds}",
            found=f"coverage of {len(held)} days, {held[0]} .. {held[-1]}",
            wanted=f"coverage of {ds}",
            remedy=f"headrace run --ds {ds}, or name a day that is there",
        )


def report_page(config: Config, *, ds: date, days: int, out: Path, console: Console) -> Path:
    """Write the coverage page of the `days` days that end with `ds`."""
    from reports.page import write_report
    from reports.terminal import coverage_table

    _check_held(config, ds)
    sources = {f.name: f.source for f in feature_columns(config)}
    page = write_report(config.root, last=ds, days=days, out=out, sources=sources)
    console.print(coverage_table(config.root, ds=ds))
    console.print(f"report: {page}")
    return page
