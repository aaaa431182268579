"""How several heads become one score: the formula, what the search for its numbers found, and f(duration).

A checkpoint holds the search as plain data; what draws a frontier takes a `Tuning`, which is made of it again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from headrace.config.fusion import Fusion, TuneConfig
from reports.page_text import number
from trainer.checkpoint import Checkpoint
from trainer.duration import DurationCurve
from trainer.fusion import Estimate, Trial, Tuning, describe, draw_frontier
from trainer.report.axes import axis_of, log_axis
from trainer.report.plots import Plane, dot, line, plane_plot

__all__ = ["durations_view", "fusion_view"]

_DRAWN = 1000  # trials on the drawing of a frontier; a search of more is thinned evenly


def fusion_view(checkpoint: Checkpoint) -> dict[str, Any]:
    """The formula, the search, and the frontier with its drawing; "" or None where there is none."""
    after = checkpoint.after
    said = str(checkpoint.history.get("fusion", ""))
    formula = describe(after.fusion) if after.fusion else None
    found = {"formula": formula, "form": after.fusion.form if after.fusion else None, "said": said, "tuning": None}
    if after.tuning is None:
        return found
    tuning = _tuning(after.tuning)
    utility = tuning.config.utility
    return found | {
        "tuning": tuning,
        "utility": " + ".join(f"{worth:g} {label}" for label, worth in utility.items()).replace("+ -", "- "),
        "declared": describe(tuning.declared),
        "best": describe(tuning.best),
        "chosen": describe(tuning.chosen),
        "frontier": [(describe(trial.fusion), trial.value, trial.parts) for trial in tuning.frontier],
        "labels": list(utility),
        "drawing": draw_frontier(_thinned(tuning)),
    }


def _tuning(data: Mapping[str, Any]) -> Tuning:
    """Inverse of `trainer.fusion.tuning_to_dict`."""
    trials, best = tuple(map(_trial, data["trials"])), _fusion(data["best"])
    known: dict[str, Any] = {
        "config": TuneConfig(**data["config"]),
        "trials": trials,
        "best_trial": next((i for i, trial in enumerate(trials) if trial.fusion == best), 0),
        "parts": {label: (_number(a), _number(b)) for label, (a, b) in data["parts"].items()},
        "frontier": tuple(map(_trial, data["frontier"])),
    }
    known |= {name: Estimate(**data[name]) for name in ("before", "after", "gain")}
    plain = {part.name: data[part.name] for part in fields(Tuning) if part.name in data}
    return Tuning(**(plain | known))


def _trial(data: Mapping[str, Any]) -> Trial:
    parts = {label: _number(share) for label, share in data["parts"].items()}
    return Trial(_fusion(data["fusion"]), data["value"], parts)


def _fusion(data: Mapping[str, Any]) -> Fusion:
    return Fusion(**{name: value for name, value in data.items() if name != "formula"})


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _thinned(tuning: Tuning) -> Tuning:
    """The same search with fewer trials to draw; the declared and the best stay."""
    kept = sorted({0, tuning.best_trial, *range(0, len(tuning.trials), -(-len(tuning.trials) // _DRAWN))})
    trials = tuple(tuning.trials[i] for i in kept)
    return replace(tuning, trials=trials, best_trial=kept.index(tuning.best_trial))


def durations_view(durations: Mapping[str, DurationCurve]) -> list[dict[str, Any]]:
    """f(duration) of each head: what was measured and what was fitted, point by point."""
    return [
        {"name": head, "curve": curve, "rows": _points(curve), "plot": _curve(curve, head)}
        for head, curve in durations.items()
    ]


def _points(curve: DurationCurve) -> list[tuple[float, float, float, float]]:
    """Seconds, measured, fitted, weight."""
    seconds = [math.exp(log) for log in curve.log_durations]
    return list(zip(seconds, curve.measured, curve.values, curve.weights, strict=True))


def _curve(curve: DurationCurve, head: str) -> dict[str, Any]:
    points = _points(curve)
    x, y = log_axis([p[0] for p in points]), axis_of([v for p in points for v in p[1:3]], zero=True)
    plane = Plane(x, y, "duration, s", "expected completion")
    ends: Sequence[tuple[float, float]] = [(x.low, points[0][2]), (x.high, points[-1][2])]
    marks = [line(plane, [ends[0], *((p[0], p[2]) for p in points), ends[1]])]
    marks += [
        dot(
            plane,
            (p[0], p[1]),
            told=f"{number(p[0])} s: measured {number(p[1])}, fitted {number(p[2])}",
            tone=1,
            radius=3,
        )
        for p in points
    ]
    said = f"fitted from {number(points[0][2])} at {number(points[0][0])} s to {number(points[-1][2])} at {number(points[-1][0])} s"
    return plane_plot(plane, marks, title=head, label=f"f(duration) of {head}: {said}")
