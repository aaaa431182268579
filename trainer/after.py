"""What is done with a network's outputs: the sampling undone, corrections on top, completion by duration, and fusion.

logits (N, T) --estimates--> raw --rates undone--> --on top--> final --f(duration), fusion--> one score
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import Fusion, click_of
from trainer.duration import DurationCurve, curve_from_dict, curve_to_dict, normalise
from trainer.fusion import fuse
from trainer.heads import estimates
from trainer.ontop import OnTop, apply_on_top, on_top_from_dict, on_top_to_dict
from trainer.tasks import Plan, calibrated

__all__ = [
    "After",
    "DURATION",
    "Outputs",
    "after_from_dict",
    "after_to_dict",
    "columns_of",
    "corrected",
    "fused_score",
    "fusion_inputs",
    "usable_fusion",
]

Floats = npt.NDArray[np.float64]
DURATION = "item_duration_s"  # the feature that says how long a video is

Outputs = dict[str, Floats]  # by head, (N,) each


@dataclass(frozen=True)
class After:
    """Everything that follows the network; what is empty is not done.

    Attributes
    ----------
    durations : head about completion -> what is usual for a duration
    on_top : head -> correction fitted on the validation day, after the sampling is undone
    fusion : how heads become one score, with the numbers to use
    tuning : what the search for those numbers found, as plain data
    """

    durations: dict[str, DurationCurve] = field(default_factory=dict)
    on_top: dict[str, OnTop] = field(default_factory=dict)
    fusion: Fusion | None = None
    tuning: dict[str, Any] | None = None


def corrected(plan: Plan, after: After, *, logits: npt.NDArray) -> tuple[Outputs, Outputs]:
    """Outputs by head, (N,) each, from logits (N, T): as the network says them, and as they are on the traffic.

    Heads about watching were trained with sample weights, so that both are the same but for what is fitted on top.
    """
    found = estimates(logits, heads=plan.heads)  # (N, T)
    raw = {name: found[:, i] for i, name in enumerate(plan.names) if name in plan.outputs}
    undone = calibrated(plan, found)  # (N, tasks)
    final = raw | {task: undone[:, i] for i, task in enumerate(plan.tasks)}
    return raw, final | {name: apply_on_top(fitted, final[name]) for name, fitted in after.on_top.items()}


def usable_fusion(plan: Plan, fusion: Fusion | None, *, heads: Collection[str]) -> tuple[Fusion | None, str]:
    """The fusion without those of `heads` that the model has not, and what to say of it.

    None where nothing is left to be put together: the head that multiplies is missing, or there are no terms.
    """
    if fusion is None:
        return None, "no fusion is declared"
    kept = {name: given for name, given in fusion.inputs.items() if name in plan.outputs or name not in heads}
    gone = [name for name in fusion.inputs if name not in kept]
    click = click_of(fusion)
    if not kept or (click is not None and (click in gone or len(kept) < 2)):
        return None, f"no fusion: {', '.join(gone)}: the model has no such head"
    said = f"fusion without {', '.join(gone)}, which the model has not" if gone else ""
    return fusion.model_copy(update={"inputs": kept}), said


def fusion_inputs(after: After, final: Outputs, *, columns: Mapping[str, npt.NDArray]) -> dict[str, Floats]:
    """What a fusion reads: heads, completion beside what is usual for the duration, and columns of the rows (N,)."""
    found: dict[str, Floats] = dict(columns) | final
    for head, curve in after.durations.items():
        if head in final and DURATION in columns:
            found[head] = normalise(final[head], columns[DURATION], curve=curve)
    return found


def fused_score(
    after: After,
    final: Outputs,
    *,
    columns: Mapping[str, npt.NDArray],
    requests: npt.NDArray | None,
    weights: npt.NDArray | None,
) -> Floats:
    """The one score, (N,); see `trainer.fusion.fuse` for what it needs and refuses."""
    assert after.fusion is not None
    inputs = fusion_inputs(after, final, columns=columns)
    return fuse(after.fusion, inputs, requests=requests, weights=weights)


def columns_of(plan: Plan, after: After, *, present: Sequence[str]) -> tuple[str, ...]:
    """Number columns that are read beside the encoder's: a fusion's own, and the duration."""
    wanted = [name for name in (after.fusion.inputs if after.fusion else ()) if name not in plan.names]
    if after.durations and DURATION in present:
        wanted.append(DURATION)
    return tuple(dict.fromkeys(wanted))


def after_to_dict(after: After) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "durations": {head: curve_to_dict(curve) for head, curve in after.durations.items()},
        "on_top": {head: on_top_to_dict(fitted) for head, fitted in after.on_top.items()},
        "fusion": after.fusion.model_dump(mode="json", exclude_none=True) if after.fusion else None,
        "tuning": after.tuning,
    }


def after_from_dict(values: Mapping[str, Any]) -> After:
    """Inverse of `after_to_dict`; raises KeyError, TypeError or ValueError where the values are not one's."""
    return After(
        {head: curve_from_dict(curve) for head, curve in values["durations"].items()},
        {head: on_top_from_dict(fitted) for head, fitted in values["on_top"].items()},
        Fusion(**values["fusion"]) if values["fusion"] else None,
        values["tuning"],
    )
