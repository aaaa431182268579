"""The gates of a day as the chain uses them: judged, kept, told to whom it concerns, and explained on one screen."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.config import Config
from headrace.errors import GateError, InputError
from headrace.receipts import Receipt, before_writing, latest_receipts

if TYPE_CHECKING:
    from reports.verdict import Failure, Verdict

__all__ = ["explain", "gate_day", "gate_notes", "line_of", "show_gates"]

_SHOWN = 8


def gate_day(config: Config, ds: date, *, accept: str | None) -> "Verdict":
    """Judge a day, keep the results beside the publish receipt to come, and alert."""
    from headrace.alerts import send_alerts
    from reports.verdict import judge, store_verdict

    verdict = judge(config, ds)
    run = before_writing()
    revision = run.revision_of(ds) if run else 0
    store_verdict(config, verdict, revision=revision, accepted=accept if verdict.critical else None)
    outcome = "warning" if not verdict.critical else "refused" if accept is None else "accepted"
    failures = [asdict(failure) for failure in verdict.failures]
    send_alerts(config, ds=ds, verdict=outcome, failures=failures, console=Console(stderr=True, highlight=False))
    return verdict


def gate_notes(verdict: "Verdict", *, accept: str | None) -> dict[str, str]:
    """What the publish receipt says of the gates; nothing where there are none."""
    if not verdict.rules:
        return {}
    counts = {"rules": len(verdict.rules), "critical": len(verdict.critical), "warnings": len(verdict.warnings)}
    notes = {"gates": json.dumps(counts)}
    if verdict.critical and accept is not None:
        notes |= {"accepted": accept, "accepted_gates": "; ".join(map(line_of, verdict.critical[:_SHOWN]))}
    return notes


def line_of(failure: "Failure") -> str:
    """One failure in words: where, what was found, what was wanted, since when.

    Slices and features are data: control characters are shown, not written.
    """
    from reports.page_text import shown

    at = "the day" if failure.feature is None else shown(failure.feature)
    if failure.slice != "all":
        at += f" where {shown(failure.slice)} = {shown(failure.value)}"
    observed = "nothing" if failure.observed is None else f"{failure.observed:.4g}"
    low, high = failure.wanted_low, failure.wanted_high
    wanted = f">= {low:.4g}" if low is not None else f"<= {high:.4g}"
    against = f" (median {failure.median:.4g})" if failure.median is not None else ""
    since = f", since {failure.since}" if failure.since else ""
    return f"{shown(failure.rule)}: {failure.metric} of {at} is {observed}, wanted {wanted}{against}{since}"


def explain(config: Config, verdict: "Verdict", *, standing: Receipt | None) -> GateError:
    """The refusal of a day on one screen: what failed, by how much, since when, which input fell, what to do.

    Parameters
    ----------
    standing : the day's publish receipt from before
    """
    failures = verdict.critical
    lines = [line_of(failure) for failure in failures[:_SHOWN]]
    more = len(failures) - len(lines)
    lines += [f"and {more} more"] if more else []
    lines += _inputs(config, verdict.ds, failures)
    ds = verdict.ds
    return GateError(
        f"gates of {ds}",
        found=f"{len(failures)} critical failure(s), {len(verdict.warnings)} warning(s)\n          "
        + "\n          ".join(lines),
        wanted=f"coverage as the gates of the configuration ask for; {_becomes(standing)}",
        remedy=f"with the same --config: look with headrace report --ds {ds}; mend the input and run again; or publish "
        f'it all the same with headrace publish --ds {ds} --accept "reason"',
    )


def _becomes(standing: Receipt | None) -> str:
    if standing is not None and standing.status == "published":
        return f"refused now, it is no longer read: revision {standing.revision} was published"
    return "the day stays unpublished"


def _inputs(config: Config, ds: date, failures: Sequence["Failure"]) -> list[str]:
    """Which input fell with the features that failed, by the declared lineage; each sentence once."""
    from reports.facts import blame_of_day

    blamed = blame_of_day(config, ds=ds)
    found: dict[str, str] = {}
    for failure in failures[:_SHOWN]:
        if failure.feature in blamed:
            found.setdefault(str(blamed[failure.feature]["text"]), str(failure.feature))
    return [f"{feature}: {text}" for text, feature in found.items()][:3]


def show_gates(config: Config, *, days: Sequence[date], docs: Path | None, console: Console) -> None:
    """Judge days without publishing them, and print the rules and what failed.

    Raises
    ------
    InputError
        The coverage of a day was never counted (exit 4).
    GateError
        A day has a critical failure (exit 3).
    """
    from reports.page_text import shown
    from reports.verdict import judge

    known = latest_receipts(config)
    lacking = [day for day in days if ("coverage", day) not in known]
    if lacking:
        raise InputError(
            f"gates of {lacking[0]}",
            found="no receipt of coverage",
            wanted="days whose coverage has been counted",
            remedy=f"headrace run --ds {lacking[0]} with this configuration, or name days that are there: headrace status",
        )
    refused = []
    for day in days:
        verdict = judge(config, day, docs=docs)
        console.print(_rules_table(verdict))
        for failure in verdict.failures[: 2 * _SHOWN]:
            console.print(f"{failure.severity:<8} {line_of(failure)}", markup=False, soft_wrap=True)
        if len(verdict.failures) > 2 * _SHOWN:
            console.print(f"... and {len(verdict.failures) - 2 * _SHOWN} more")
        idle = [shown(rule["limit"].rule) for rule in verdict.rules if not rule["checked"]]
        if idle:
            console.print(f"judged nothing: {', '.join(idle)}", markup=False, soft_wrap=True)
        refused += [verdict] if verdict.critical else []
    if docs is not None:
        console.print(f"Data Docs: {docs}", soft_wrap=True)
    if refused:
        raise explain(config, refused[0], standing=None)


def _rules_table(verdict: "Verdict") -> Table:
    from reports.page_text import shown

    table = Table(title=f"Gates of {verdict.ds}", title_justify="left", header_style="bold", box=SIMPLE)
    for name in ("rule", "severity", "looks at", "judged", "failed"):
        table.add_column(name, justify="right" if name in ("judged", "failed") else "left")
    for rule in verdict.rules:
        limit = rule["limit"]
        style = "" if not rule["failed"] else "bold red" if limit.severity == "critical" else "bold yellow"
        cells = (shown(limit.rule), limit.severity, limit.metric, f"{rule['checked']:,}", f"{rule['failed']:,}")
        table.add_row(*(Text(cell, style=style) for cell in cells))
    if not verdict.rules:
        table.add_row("no rules", "-", "-", "-", "-")
    return table
