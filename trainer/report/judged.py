"""What an evaluation says of each head: metrics, deciles, segments, seconds watched, the truth and the fused order."""

import math
from collections.abc import Sequence
from typing import Any

from reports.page_text import number
from trainer.checkpoint import Checkpoint
from trainer.evaluate import Evaluation
from trainer.metrics import SegmentRow
from trainer.report.axes import axis_of, log_axis, symmetric_axis
from trainer.report.plots import Plane, Span, bar, dot, dot_plot, line, plane_plot
from trainer.report.words import entropy, fixed, head_word, slug, told_interval, watch_word
from trainer.reporting import TaskReport, WatchReport

__all__ = ["evaluation_view"]

_SPREAD = 10.0  # greatest over least predicted decile from which on a plot is logarithmic
_FARTHEST = 4.0  # predicted / actual beyond it, or below its inverse, is drawn at the edge
_DRAWN = 12  # values of a segment in a drawing; the table has all
_WIDEST = 1.5  # an interval beyond it, or below its inverse, does not widen the axis: it is drawn to the edge


def evaluation_view(name: str, evaluation: Evaluation, *, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that the templates place of one evaluation."""
    unweighted = evaluation.plan.watch == "unweighted"
    watch = evaluation.watch
    return {
        "name": name,
        "slug": slug(name),
        "days": [str(day["ds"]) for day in evaluation.days],
        "notes": _notes(evaluation, checkpoint),
        "heads": [_head(task) for task in evaluation.tasks],
        "deciles": [{"name": task.task, "bins": task.bins, "plot": _reliability(task)} for task in evaluation.tasks],
        "segments": _segments(evaluation.tasks),
        "watch": None if watch is None else _watch(watch, unweighted=unweighted),
        "truth": [(task.task, task.truth) for task in evaluation.tasks if task.truth is not None],
        "fused": evaluation.fused,
    }


def _notes(evaluation: Evaluation, checkpoint: Checkpoint) -> list[str]:
    """What flatters the model on these days."""
    notes = []
    if seen := evaluation.seen_in_training:
        notes.append(
            f"The model was trained on {', '.join(seen)}: unless their rows were split, these metrics flatter it."
        )
    chosen = {day["ds"] for day in checkpoint.history.get("valid_days", [])}
    if chosen & {day["ds"] for day in evaluation.days}:
        after = checkpoint.after
        parts = (
            ["the epoch to keep"] + ["corrections on top"] * bool(after.on_top) + ["the fusion"] * bool(after.tuning)
        )
        notes.append(f"Chosen on these days: {', '.join(parts)}. Metrics there flatter the model a little.")
    return notes


def _head(task: TaskReport) -> dict[str, Any]:
    final = task.calibrated_traffic
    return {
        "name": task.task,
        "kind": task.kind,
        "rows": task.rows,
        "missing": task.raw_sample.missing,
        "rate": final.rate,
        "sampled": task.raw_sample,
        "raw": task.raw_traffic,
        "final": final,
        "entropy": entropy(final.rate),
        **head_word(task),
    }


def _reliability(task: TaskReport) -> dict[str, Any]:
    """Predicted beside actual by decile with the 95 % interval of the actual; both axes are the same."""
    bins = [part for part in task.bins if math.isfinite(part.predicted) and math.isfinite(part.actual)]
    plane = _square([b.predicted for b in bins], [x for b in bins for x in (b.actual, b.high)], unit="")
    marks = [line(plane, [(plane.x.low, plane.x.low), (plane.x.high, plane.x.high)], tone=5, dashed=True)]
    for part in bins:
        told = f"predicted {number(part.predicted)}, actual {told_interval(part.actual, low=part.low, high=part.high)}"
        marks.append(bar(plane, part.predicted, low=max(part.low, plane.y.low), high=part.high))
        below = plane.y.log and part.actual < plane.y.low
        marks.append(
            dot(plane, (part.predicted, part.actual), told=told, shape="triangle" if below else "dot", radius=4)
        )
    scale = "logarithmic" if plane.x.log else "linear"
    said = f"{len(bins)} groups by score, {scale}; predicted / actual {fixed(task.calibrated_traffic.pcoc, 3)} overall"
    return plane_plot(plane, marks, title=task.task, label=f"Reliability of {task.task}: {said}") | {"scale": scale}


def _square(predicted: Sequence[float], actual: Sequence[float], *, unit: str) -> Plane:
    """One axis for both, logarithmic where the predictions spread far."""
    wide = len(predicted) > 1 and min(predicted) > 0 and max(predicted) / min(predicted) >= _SPREAD
    far = min(predicted) / 4 if wide else 0.0  # an actual value near 0 must not press all others together
    axis = log_axis([*predicted, *(max(a, far) for a in actual)]) if wide else axis_of([*predicted, *actual], zero=True)
    return Plane(axis, axis, f"predicted{unit}", f"actual{unit}")


def _segments(tasks: Sequence[TaskReport]) -> list[dict[str, Any]]:
    """By declared column: a drawing for each head, and all heads in one table."""
    columns = list(dict.fromkeys(column for task in tasks for column in task.segments))
    return [
        {
            "column": column,
            "slug": slug(column),
            "rows": [(task.task, row) for task in tasks for row in task.segments.get(column, [])],
            "plots": [_by_value(task, task.segments[column]) for task in tasks if task.segments.get(column)],
        }
        for column in columns
    ]


def _by_value(task: TaskReport, rows: Sequence[SegmentRow]) -> dict[str, Any]:
    spans = [_span(row) for row in rows[:_DRAWN]]
    values = [span.value for span in spans if span.value is not None]
    ends = [min(max(e, 1 / _WIDEST), _WIDEST) for s in spans for e in (s.low, s.high) if e is not None]
    axis = symmetric_axis([*values, *ends], least=1.12, most=_FARTHEST)
    said = f"{len(spans)} values" + (f", predicted / actual {min(values):.3f} to {max(values):.3f}" if values else "")
    return dot_plot(
        spans, axis=axis, reference=1.0, x_title="predicted / actual", title=task.task, label=f"{task.task}: {said}"
    )


def _span(row: SegmentRow) -> Span:
    """Predicted / actual with the interval that the actual's gives."""
    if not math.isfinite(row.pcoc):
        return Span(row.value, None, None, None, "no positives")
    low, high = row.predicted / row.high, row.predicted / row.low if row.low > 0 else math.inf
    return Span(
        row.value, row.pcoc, low, high, f"{number(row.pcoc)} ({number(low)} to {number(high)}), {row.rows:,} rows"
    )


def _watch(watch: WatchReport, *, unweighted: bool) -> dict[str, Any]:
    """Seconds watched by groups of equal traffic, by ascending estimate."""
    plane = _square([p for _, p, _ in watch.bins], [t for _, _, t in watch.bins], unit=", s") if watch.bins else None
    plot = None
    if plane is not None:
        marks = [line(plane, [(plane.x.low, plane.x.low), (plane.x.high, plane.x.high)], tone=5, dashed=True)]
        marks += [
            dot(plane, (p, max(t, plane.y.low)), told=f"predicted {number(p)} s, actual {number(t)} s", radius=4)
            for _, p, t in watch.bins
        ]
        said = f"{len(watch.bins)} groups by estimate; predicted / actual {fixed(watch.traffic.mean_ratio, 3)} overall"
        plot = plane_plot(plane, marks, title="Seconds watched", label=f"Seconds watched: {said}")
    found = {"metrics": watch.traffic, "bins": watch.bins, "plot": plot, "unweighted": unweighted}
    return found | watch_word(watch, unweighted=unweighted)
