"""What is predicted, and how its sampled probability becomes one of the traffic.

A *task* is an action whose probability is predicted; each has a head. More heads: "any positive" where no single action
is implied by every positive one, because the sampling looked at their union (docs/semantics.md, S28 and S30); and what
was watched, whose losses take sample weights, so that what they say is of the traffic already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.config.training import HeadsConfig
from headrace.errors import InputError
from sampling.calibration import calibrate_implied, rate_ratio
from trainer.columns import column, floats, integers
from trainer.facts import Facts
from trainer.heads import Head

__all__ = [
    "ANY",
    "WATCHED",
    "Plan",
    "any_positive",
    "calibrated",
    "common_action",
    "label_columns",
    "label_matrix",
    "labels_of",
    "plan_heads",
]

ANY = "any_positive"
# What can be said of watching: head -> its label's column. Each is null where it does not apply.
WATCHED = {"completed": "label_completed", "completion": "label_completion", "watch": "label_watch_s"}
_KINDS = {"completed": "binary", "completion": "ratio", "watch": "watch"}


@dataclass(frozen=True)
class Plan:
    """Heads of a model and its calibration.

    Attributes
    ----------
    tasks : tuple of str
        Actions predicted; the first heads are theirs, in this order.
    heads : tuple of Head
        T of them: tasks, then `any_positive` where it is needed, then what is said of watching.
    denominator : str or None
        The head that says what the sampling looked at; None for a model trained with sample weights, whose output is
        calibrated already.
    negative_rate, positive_rate : float
        Rates of the training rows, as found on them; the lowest where they differ.
    positive : tuple of str
        Actions that make a row positive.
    dropped : dict of str to str
        Head to the reason why there is none.
    watch : "weighted" or "unweighted"
        How the watch head's loss weighs a row.
    """

    tasks: tuple[str, ...]
    heads: tuple[Head, ...]
    denominator: str | None
    negative_rate: float
    positive_rate: float
    positive: tuple[str, ...]
    dropped: dict[str, str]
    watch: Literal["weighted", "unweighted"] = "weighted"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the T heads, in order."""
        return tuple(head.name for head in self.heads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a user of the model sees: every head but the one that only undoes the sampling."""
        return tuple(name for name in self.names if name != ANY)


def label_columns(labels: Mapping[str, Any], *, heads: HeadsConfig, present: set[str]) -> list[str]:
    """Label columns that the trainer reads: of its tasks, of every positive action, and of watching where it is there."""
    wanted = [*(t for t in heads.tasks if t in labels["actions"]), *labels["positive"]]
    watched = [WATCHED[name] for name in _watched(heads) if WATCHED[name] in present]
    return [*(f"label_{action}" for action in dict.fromkeys(wanted)), *watched]


def _watched(heads: HeadsConfig) -> list[str]:
    """Heads about watching that the configuration asks for."""
    asked = {"completion" if name == "ratio" else name for name in heads.completion}
    return [name for name in WATCHED if name in asked or (name == "watch" and heads.watch)]


def labels_of(plan: Plan) -> list[str]:
    """Label columns that the heads need."""
    labels = [head.label for head in plan.heads if head.name != ANY]
    labels += [f"label_{action}" for action in plan.positive] if ANY in plan.names else []
    return [*dict.fromkeys(labels)]


def label_matrix(rows: pa.RecordBatch | pa.Table, plan: Plan) -> npt.NDArray[np.float32]:
    """(B, T) labels in the order of the heads; NaN where a label does not apply to the row."""
    made = np.empty((rows.num_rows, len(plan.heads)), dtype=np.float32)
    for i, head in enumerate(plan.heads):
        if head.name == ANY:
            made[:, i] = any_positive(rows, plan.positive)
        else:
            cells = floats(column(rows, head.label), name=head.label)
            made[:, i] = cells > 0 if head.name in plan.tasks else cells  # null is NaN; an action's label is never null
    return made


def any_positive(rows: pa.RecordBatch | pa.Table, positive: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(B,) true where a row has any of the positive labels (S28)."""
    found = np.zeros(rows.num_rows, dtype=bool)
    for action in positive:
        found |= integers(rows, f"label_{action}") > 0
    return found


def common_action(labels: Mapping[str, Any], *, among: Sequence[str]) -> str | None:
    """The action among `among` that is positive and implied by every positive action; None where there is none."""
    for action in among:
        if action in labels["positive"] and all(action in _closure(p, labels["implies"]) for p in labels["positive"]):
            return action
    return None


def _closure(action: str, implies: Mapping[str, str]) -> list[str]:
    """The action and all that it implies; a circle ends where it began."""
    found = [action]
    while (following := implies.get(found[-1])) is not None and following not in found:
        found.append(following)
    return found


def plan_heads(
    labels: Mapping[str, Any],
    *,
    config: HeadsConfig,
    found: Facts,
    rates: tuple[float, float],
    weighted: bool,
) -> Plan:
    """Choose tasks and heads from what the training days hold.

    Parameters
    ----------
    labels : the receipt's note: positive, implies, actions
    config : what is asked for
    found : what the training days hold of each label
    rates : (negative_rate, positive_rate)
    weighted : bool
        The loss takes sample weights: every task is learnt as it is on the traffic, and nothing is corrected.

    Raises
    ------
    InputError
        No task has both classes, or the sampling's own label has one class only.
    """
    reasons = {task: _reason(task, labels, found=found, weighted=weighted) for task in config.tasks}
    tasks = [task for task, reason in reasons.items() if not reason]
    dropped = {task: reason for task, reason in reasons.items() if reason}
    shared = None if weighted else common_action(labels, among=tasks) or ANY
    if not tasks or (shared == ANY and found.positives[ANY] in (0, found.rows)):
        raise InputError(
            "labels of the training days",
            found="; ".join(f"{t}: {why}" for t, why in dropped.items())
            or f"{found.positives[ANY]} positives of {found.rows} rows",
            wanted="both classes, for one of " + ", ".join(config.tasks),
            remedy="train on more days, or look at the labels and the sampling rates of these",
        )
    heads = [Head(name, "binary", f"label_{name}", weighted) for name in (*tasks, *([ANY] if shared == ANY else []))]
    for name in _watched(config):
        reason = _unwatched(name, found)
        if reason:
            dropped[name] = reason
        else:
            heads.append(Head(name, cast(Any, _KINDS[name]), WATCHED[name], True))
    watch = config.watch or "weighted"
    return Plan(tuple(tasks), tuple(heads), shared, *rates, tuple(labels["positive"]), dropped, watch)


def _reason(task: str, labels: Mapping[str, Any], *, found: Facts, weighted: bool) -> str:
    """Why there can be no such task, or the empty string."""
    if task not in labels["actions"]:
        return "no label window is declared for it"
    if found.positives[task] in (0, found.rows):
        return f"one class only: {found.positives[task]} positives of {found.rows} rows"
    if not weighted and not set(_closure(task, labels["implies"])) & set(labels["positive"]):
        return "it implies no positive label, so rates cannot correct it; train with sample weights"
    return ""


def _unwatched(name: str, found: Facts) -> str:
    """Why there can be no such head about watching, or the empty string."""
    known = found.watched.get(name)
    if known is None:
        return f"the days have no column {WATCHED[name]}"
    if known.weight <= 0 or known.total <= 0:
        return f"nothing above 0 in {WATCHED[name]}"
    if name == "completed" and known.total >= known.weight:
        return "one class only: every row is completed"
    return ""


def calibrated(plan: Plan, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities of the traffic, (B, tasks), from sigmoids of the T heads, (B, T): once, and only where needed."""
    scores = raw[:, : len(plan.tasks)]
    if plan.denominator is None:
        return scores
    ratio = rate_ratio(plan.negative_rate, plan.positive_rate)
    shared = raw[:, [plan.names.index(plan.denominator)]]  # (B, 1)
    return calibrate_implied(scores, shared, ratio=ratio)
