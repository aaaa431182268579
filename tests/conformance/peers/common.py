"""What every peer reads and writes. Standard library only: a peer may live in an environment of its own."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "HOUR_US",
    "Answer",
    "Cannot",
    "Feature",
    "Job",
    "answers",
    "condition",
    "derived",
    "load_jobs",
    "metrics_of",
]

HOUR_US = 3_600_000_000
Row = dict[str, Any]


@dataclass(frozen=True)
class Feature:
    """One column: `kind` is count, sum, mean, rate, rate_smoothed or recency; `window_us` is None for recency.

    `top` and `bottom` are metrics as (action, once); `bottom` is that of a rate.
    """

    name: str
    kind: str
    top: tuple[str, bool]
    bottom: tuple[str, bool] | None
    window_us: int | None
    strength: float | None


@dataclass(frozen=True)
class Job:
    """The cases that share a timezone and the settings of a feature group; ids of different cases are disjoint.

    Attributes
    ----------
    entity, segment : str
        As in conf/features.yaml; `kind` is `profile` where a profile column itself is asked for.
    delay_us, refresh_us : int
        Microseconds.
    events : rows
        case, user_id, item_id, scene (an engagement's is its impression's), action, value, is_first (of its impression
        and action), event_us, arrival_us. Conformed: refused rows and repeats are gone.
    users, items : rows
        case, key, valid_from_us, valid_to_us, landed_us and the declared columns; one row a version, and one more for a
        later landing that sets its valid_to.
    asks : rows
        case, ask, request_us, user_id, item_id, scene.
    """

    kind: str
    timezone: str
    entity: str
    segment: str | None
    delay_us: int
    refresh_us: int
    features: list[Feature]
    events: list[Row]
    users: list[Row]
    items: list[Row]
    asks: list[Row]
    ready: list[Row]


@dataclass(frozen=True)
class Cannot:
    """The peer has no way to say it, and why."""

    reason: str


Answer = dict[tuple[str, str], dict[str, Any]]


def load_jobs(path: Path) -> list[Job]:
    """Jobs as the table wrote them."""
    jobs = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        features = [
            Feature(**{**f, "top": tuple(f["top"]), "bottom": f["bottom"] and tuple(f["bottom"])})
            for f in entry.pop("features")
        ]
        jobs.append(Job(features=features, **entry))
    return jobs


def answers(answer: Callable[[Job], Answer], *, version: str) -> None:
    """Answer every job of --jobs and write values, reasons and the peer's version to --out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    cells = []
    for job in load_jobs(asked.jobs):
        for (case, ask), values in answer(job).items():
            for feature, value in values.items():
                said = {"cannot": value.reason} if isinstance(value, Cannot) else {"value": value}
                cells.append({"case": case, "ask": ask, "feature": feature, **said})
    asked.out.write_text(json.dumps({"version": version, "cells": cells}), encoding="utf-8")


def metrics_of(job: Job) -> dict[str, tuple[str, bool]]:
    """Column name -> (action, once) of everything that the job's features count."""
    both = [m for f in job.features for m in (f.top, f.bottom) if m]
    return {f"{'first_' if once else ''}{action}": (action, once) for action, once in dict.fromkeys(both)}


def condition(metric: tuple[str, bool]) -> str:
    """SQL: an event belongs to the metric."""
    action, once = metric
    return f"(action = '{action}'{' AND is_first' if once else ''})"


def derived(feature: Feature, number: Callable[[str, tuple[str, bool], int | None], Any], *, known: bool) -> Any:
    """A feature from the numbers that the peer computed: ask for n, total, prior or age of a metric and window."""
    if not known:
        return None
    top, bottom, window = feature.top, feature.bottom, feature.window_us
    if feature.kind == "count":
        return int(number("n", top, window) or 0)
    if feature.kind == "sum":
        return float(number("total", top, window) or 0.0)
    if feature.kind == "mean":
        return number("average", top, window)
    if feature.kind == "recency":
        return number("age", top, None)
    assert bottom is not None
    own = (number("n", top, window) or 0, number("n", bottom, window) or 0)
    if feature.strength is None:
        return own[0] / own[1] if own[1] else None
    all_top, all_bottom = number("all", top, window) or 0, number("all", bottom, window) or 0
    if not all_bottom:
        return None
    return (own[0] + feature.strength * all_top / all_bottom) / (own[1] + feature.strength)
