"""How the model was trained: losses by epoch, and what its gates did."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.page_text import number
from trainer.checkpoint import Checkpoint
from trainer.report.axes import Axis, axis_of
from trainer.report.plots import Plane, dot, line, plane_plot, text

__all__ = ["gates_view", "losses_view"]


def losses_view(checkpoint: Checkpoint) -> dict[str, Any]:
    """Epochs as a table, and a line for the validation and for each head.

    Returns
    -------
    dict
        heads: names; rows: each epoch's number, rows, rows a second, validation and losses; plots; kept: number of the epoch
        that was kept, or None
    """
    epochs: Sequence[Mapping[str, Any]] = checkpoint.history.get("epochs", [])
    kept = checkpoint.history.get("kept_epoch")
    heads = list(checkpoint.plan.names)
    series = {"validation": [epoch.get("valid_loss") for epoch in epochs]}
    series |= {head: [epoch["losses"].get(head) for epoch in epochs] for head in heads}
    titles = {"validation": "Validation: mean log loss of the actions, calibrated, on the traffic"}
    plots = [
        _curve(values, title=titles.get(name, f"Training loss of {name}"), kept=kept)
        for name, values in series.items()
        if any(value is not None for value in values)
    ]
    rows = [
        {key: epoch.get(key) for key in ("epoch", "rows", "rows_per_s", "valid_loss")}
        | {"losses": [epoch["losses"].get(head) for head in heads], "kept": epoch.get("epoch") == kept}
        for epoch in epochs
    ]
    return {"heads": heads, "rows": rows, "plots": plots, "kept": kept}


def _curve(values: Sequence[float | None], *, title: str, kept: int | None) -> dict[str, Any]:
    known = [(float(i + 1), float(v)) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    plane = Plane(Axis(0.8, len(values) + 0.2), axis_of([v for _, v in known]), "epoch", "nats")
    marks = [line(plane, known), *(dot(plane, at, told=f"epoch {at[0]:g}: {at[1]:.5f} nats") for at in known)]
    for at in known:
        if at[0] == kept:
            marks += [dot(plane, at, told=f"kept: epoch {kept}", shape="ring", radius=7), text(plane, at, said="kept")]
    said = f"{number(known[0][1])} nats after the first epoch, {number(known[-1][1])} after the last of {len(values)}"
    plot = plane_plot(plane, marks, title=title, label=f"{title}: {said}" if known else title)
    return plot | {"x": [(plane.at(i, plane.y.low)[0], f"{i}") for i in _epochs(len(values))]}


def _epochs(count: int) -> range:
    """Whole numbers to write below the curves, eight at most."""
    return range(1, count + 1, -(-count // 8))


def gates_view(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """What each head's gate made of the experts; None where nothing was recorded, or the model has no gates.

    Returns
    -------
    dict
        experts: numbers from 1; heads: name, mean weight of each expert, entropy in nats and as a share of the greatest
        possible, share of rows with a weight above 0.95; dead: experts that no head uses
    """
    gates: Mapping[str, Any] = checkpoint.history.get("gates") or {}
    heads: Mapping[str, Mapping[str, Any]] = gates.get("heads") or {}
    if not heads:
        return None
    rows = []
    for name, gate in heads.items():
        mean = list(gate["weights"])
        even = gate["entropy"] / math.log(len(mean)) if len(mean) > 1 else None
        rows.append(
            {"name": name, "mean": mean, "entropy": gate["entropy"], "even": even, "polarised": gate["polarised"]}
        )
    most = max(len(row["mean"]) for row in rows)
    dead = [expert + 1 for expert in gates.get("dead", [])]
    return {"experts": list(range(1, most + 1)), "heads": rows, "dead": dead}
