"""Importances of groups of features, as a table and a drawing for each head."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reports.page_text import number
from trainer.importance import Importance
from trainer.report.axes import axis_of
from trainer.report.plots import Span, dot_plot

__all__ = ["importance_view"]


def importance_view(importances: Sequence[Importance]) -> dict[str, Any] | None:
    """Groups, the one whose loss costs most AUC first (mean over the heads); None without any."""
    if not importances:
        return None
    heads = list(importances[0].auc)
    rows = sorted(importances, key=lambda one: -_mean([one.auc[head].value for head in heads]))
    return {
        "heads": heads,
        "rows": rows,
        "sampled": importances[0].rows,
        "repeats": importances[0].repeats,
        "plots": [_plot(rows, head) for head in heads],
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else 0.0


def _plot(rows: Sequence[Importance], head: str) -> dict[str, Any]:
    spans = []
    for one in rows:
        lost = one.auc[head]
        known = math.isfinite(lost.value)
        told = f"AUC falls by {number(lost.value)} ± {number(lost.error)}" if known else "no data"
        low, high = lost.value - lost.error, lost.value + lost.error
        spans.append(Span(one.group, lost.value, low, high, told) if known else Span(one.group, None, None, None, told))
    axis = axis_of([v for s in spans for v in (s.low, s.high) if v is not None], zero=True)
    first = spans[0]
    return dot_plot(
        spans, axis=axis, reference=0.0, x_title="loss of AUC", title=head, label=f"{head}: {first.name} {first.told}"
    )
