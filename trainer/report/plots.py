"""Drawings as plain numbers: a box, ticks and marks in pixels, which a template makes an SVG of, text escaped.

Every drawing is a picture of numbers that also stand in a table. Tones are the page's line colours 0 to 6.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.page_text import shown
from trainer.report.axes import Axis, ticks

__all__ = ["Plane", "Span", "bar", "dot", "dot_plot", "line", "plane_plot", "text"]

Mark = dict[str, Any]

_LABEL = 18  # characters of a name beside a row; the table has all of it
_ROW = 20  # pixels of a row of a dot plot


@dataclass(frozen=True)
class Plane:
    """Two axes and their titles in a drawing of `width` x `height` pixels."""

    x: Axis
    y: Axis
    x_title: str
    y_title: str
    width: int = 340
    height: int = 250
    box: tuple[int, int, int, int] = field(default=(58, 12, 326, 206))  # left, top, right, bottom

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        left, top, right, bottom = self.box
        return (
            round(left + (right - left) * self.x.place(x), 1),
            round(bottom - (bottom - top) * self.y.place(y), 1),
        )


@dataclass(frozen=True)
class Span:
    """A row of a dot plot: a value with an interval, None where there is none, and what a reader is told on pointing."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    told: str


def line(plane: Plane, points: Iterable[tuple[float, float]], *, tone: int = 0, dashed: bool = False) -> Mark:
    """A line through points in the units of the axes."""
    path = " ".join("{:g},{:g}".format(*plane.at(x, y)) for x, y in points)
    return {"kind": "line", "points": path, "tone": tone, "dashed": dashed}


def dot(
    plane: Plane, point: tuple[float, float], *, told: str, tone: int = 0, radius: float = 3.5, shape: str = "dot"
) -> Mark:
    """A point: a `dot`, a `ring` around one, or a `triangle` for what lies below the axis."""
    x, y = plane.at(*point)
    return {"kind": shape, "x": x, "y": y, "r": radius, "tone": tone, "told": told}


def bar(plane: Plane, x: float, *, low: float, high: float, tone: int = 0) -> Mark:
    """An interval upright at x."""
    (at, below), (_, above) = plane.at(x, low), plane.at(x, high)
    return {"kind": "bar", "x1": at, "y1": below, "x2": at, "y2": above, "tone": tone}


def text(plane: Plane, point: tuple[float, float], *, said: str) -> Mark:
    """Words beside a point, towards the inside of the drawing."""
    at, height = plane.at(*point)
    inward = at > (plane.box[0] + plane.box[2]) / 2
    return {"kind": "text", "x": at + (-7 if inward else 7), "y": height - 7, "end": inward, "said": said}


def plane_plot(plane: Plane, marks: Sequence[Mark], *, title: str, label: str) -> dict[str, Any]:
    """A drawing of marks on a plane. `title` stands above it, `label` is read out in its place."""
    x = [(plane.at(value, plane.y.low)[0], said) for value, said in ticks(plane.x)]
    y = [(plane.at(plane.x.low, value)[1], said) for value, said in ticks(plane.y)]
    return {
        "title": title,
        "label": label,
        "width": plane.width,
        "height": plane.height,
        "box": plane.box,
        "x": x,
        "y": y,
        "x_title": plane.x_title,
        "y_title": plane.y_title,
        "marks": list(marks),
        "rows": False,
    }


def dot_plot(
    spans: Sequence[Span], *, axis: Axis, reference: float, x_title: str, title: str, label: str
) -> dict[str, Any]:
    """Values with intervals, a row each, from above down, and a line at `reference`."""
    bottom = 8 + _ROW * len(spans)
    box = (132, 8, 326, bottom)
    left, right = box[0], box[2]

    def at(value: float) -> float:
        return round(left + (right - left) * axis.place(value), 1)

    marks: list[Mark] = [
        {"kind": "bar", "x1": at(reference), "y1": 8, "x2": at(reference), "y2": bottom, "tone": "ink"}
    ]
    rows = []
    for i, span in enumerate(spans):
        y = 8 + _ROW * i + _ROW / 2
        rows.append((y, _cut(shown(span.name))))
        if span.value is None or not math.isfinite(span.value):
            marks.append({"kind": "text", "x": left + 6, "y": y + 4, "end": False, "said": "no data"})
            continue
        if span.low is not None and span.high is not None:
            marks.append({"kind": "bar", "x1": at(span.low), "y1": y, "x2": at(span.high), "y2": y, "tone": 0})
        marks.append({"kind": "dot", "x": at(span.value), "y": y, "r": 4, "tone": 0, "told": span.told})
    found = {"title": title, "label": label, "width": 340, "height": bottom + 38, "box": box, "y": rows, "rows": True}
    return found | {
        "x": [(at(value), said) for value, said in ticks(axis, most=4)],
        "x_title": x_title,
        "y_title": "",
        "marks": marks,
    }


def _cut(name: str) -> str:
    return name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"
