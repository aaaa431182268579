"""`headrace report`: the page and a short table for the terminal; the same as a table; two days side by side."""

from datetime import date
from pathlib import Path

from rich.console import Console

from headrace.config import Config
from headrace.delta import delta_files, is_table
from headrace.errors import InputError
from headrace.receipts import latest_receipts

__all__ = ["comparison_page", "coverage_export", "report_page"]


def _days_held(config: Config, ds: date, *, days: int) -> int:
    """`days`, without those before the first day that coverage was counted of.

    Raises
    ------
    InputError
        It was not counted of `ds`.
    """
    uri = f"{config.root}/coverage"
    held = sorted({file.ds for file in delta_files(uri)}) if is_table(uri) else []
    if held and ds not in held and ("coverage", ds) not in latest_receipts(config):
        raise InputError(
            f"report of {ds}",
            found=f"coverage of {len(held)} days, {held[0]} .. {held[-1]}",
            wanted=f"coverage of {ds}",
            remedy=f"headrace run --ds {ds}, or name a day that is there",
        )
    return max(min(days, (ds - held[0]).days + 1), 1) if held else days


def report_page(config: Config, *, ds: date, days: int, out: Path, console: Console) -> Path:
    """Write the coverage page of the `days` days that end with `ds`; none before the first that was counted."""
    from reports.facts import feature_facts
    from reports.page import write_report
    from reports.terminal import coverage_table

    days = _days_held(config, ds, days=days)
    facts = feature_facts(config, ds=ds, days=days)
    page = write_report(config.root, last=ds, days=days, out=out, facts=facts)
    console.print(coverage_table(config.root, ds=ds))
    console.print(f"report: {page}", soft_wrap=True)
    return page


def coverage_export(config: Config, *, ds: date, days: int, format: str, out: Path, console: Console) -> Path:
    """Write the rows of the coverage table as csv, json or xlsx."""
    from reports.export import export_coverage

    days = _days_held(config, ds, days=days)
    made = export_coverage(config.root, ds=ds, days=days, format=format, out=out)
    console.print(f"{format}: {made}", soft_wrap=True)
    return made


def comparison_page(config: Config, a: str, b: str, *, out: Path, console: Console) -> Path:
    """Write the page that holds two days, configurations, or training set and snapshot side by side."""
    from reports.compare import compare_report

    return compare_report(config, a, b, out=out, console=console)
