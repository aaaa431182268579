"""The verdict of the day: what `publish` said, which gates failed, and what was accepted all the same."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from reports.page_delta import Row
from reports.page_runs import noted
from reports.page_text import count, number, percent, shown

__all__ = ["gates_of", "verdict_of"]

_WORDS = {"published": "Published", "refused": "Refused", "unpublished": "Withdrawn"}
_SHOWN = 60
"""Failures on the page; the rest is counted."""


def verdict_of(receipts: Iterable[Row], gates: dict[str, Any], *, ds: date) -> dict[str, Any]:
    """What the receipts of a day say.

    Returns
    -------
    dict
        state: published, refused, or unpublished; text, revision, at, notes of the publish receipt; done and refused:
        the other steps; accepted: reasons given with --accept.
    """
    done = {row["job"]: row for row in receipts if row["ds"] == ds}
    publish = done.pop("publish", None)
    status = publish["status"] if publish else ""
    return {
        "state": "accepted"
        if gates["accepted"] and status == "published"
        else status
        if status in _WORDS
        else "unpublished",
        "text": _WORDS.get(status, "Not published"),
        "revision": publish["revision"] if publish else None,
        "at": f"{publish['ended_at']:%Y-%m-%d %H:%M} UTC" if publish else None,
        "notes": noted(publish["notes"]) if publish else [],
        "done": [shown(job) for job in done],
        "refused": sorted(shown(job) for job, row in done.items() if row["status"] == "refused"),
        "accepted": gates["accepted"],
    }


def gates_of(rows: Sequence[Row], *, revision: int | None) -> dict[str, Any]:
    """Rules looked at and failures of the latest judgement of a day, critical ones first.

    Parameters
    ----------
    rows : rows of gate_results of one day
    revision : of the publish receipt; without one, the highest that gate_results has

    Returns
    -------
    dict
        revision; rules: how many were looked at; critical, warning: failures of each; failures: the first 60, and more:
        how many there are beyond; accepted: different reasons
    """
    held = {row["revision"] for row in rows}
    judged = revision if revision in held or revision is not None else max(held, default=None)
    latest = [row for row in rows if row["revision"] == judged]
    failures = [row for row in latest if not _is_rule(row)]
    named = {row["rule"] for row in failures}
    failures += [row for row in latest if _is_rule(row) and row["failed"] and row["rule"] not in named]
    failures.sort(key=lambda row: (row["severity"] != "critical", *(str(row[key] or "") for key in _ORDER)))
    counted = {kind: sum(row["severity"] == kind for row in failures) for kind in ("critical", "warning")}
    return {
        "revision": judged,
        "rules": len({row["rule"] for row in latest}),
        "failures": [_failure(row) for row in failures[:_SHOWN]],
        "more": max(0, len(failures) - _SHOWN),
        "accepted": sorted({row["accepted"] for row in latest if row["accepted"]}),
        **counted,
    }


_ORDER = ("rule", "feature", "slice", "value")


def _is_rule(row: Row) -> bool:
    """A rule's own row names no cell."""
    return row["feature"] is None and row["slice"] is None


def _failure(row: Row) -> dict[str, Any]:
    where = None if row["slice"] in (None, "all") else f"{shown(row['slice'])} = {shown(row['value'])}"
    return {
        "rule": shown(row["rule"]),
        "severity": row["severity"],
        "metric": shown(row["metric"]),
        "feature": row["feature"],
        "where": where or "whole traffic",
        "observed": _measure(row["metric"], row["observed"]),
        "wanted": _wanted(row),
        "since": row["since"].isoformat() if row["since"] else None,
    }


def _measure(metric: str, value: float | None) -> str:
    if metric == "coverage" or metric.startswith("share_"):
        return percent(value, digits=2)
    return count(value) if metric == "rows" else number(value)


def _wanted(row: Row) -> str:
    low, high = (row[name] for name in ("wanted_low", "wanted_high"))
    parts = [f"at least {_measure(row['metric'], low)}"] if low is not None else []
    parts += [f"at most {_measure(row['metric'], high)}"] if high is not None else []
    text = " and ".join(parts) or "no data"
    return text if row["median"] is None else f"{text} (median {_measure(row['metric'], row['median'])})"
