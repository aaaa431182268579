"""What is predicted, and how its sampled probability becomes one of the traffic.

A *head* is an output of the network: one for each task, and one for "any positive" where no single action is implied
by every positive one, because the sampling looked at their union (docs/semantics.md, S28 and S30).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.errors import InputError
from sampling.calibration import calibrate_implied, rate_ratio

__all__ = ["ANY", "TASKS", "Plan", "calibrated", "common_action", "label_columns", "plan_heads"]

TASKS = ("click", "like", "collect", "share")
ANY = "any_positive"


@dataclass(frozen=True)
class Plan:
    """Heads of a model and its calibration.

    Attributes
    ----------
    tasks : tuple of str
        Actions predicted.
    heads : tuple of str
        Tasks, and `any_positive` where it is needed.
    denominator : str or None
        The head that says what the sampling looked at; None for a model trained with sample weights, whose output is
        calibrated already.
    negative_rate, positive_rate : float
        Rates of the training rows, as found on them.
    positive : tuple of str
        Actions that make a row positive.
    dropped : dict of str to str
        Task to the reason why there is none.
    """

    tasks: tuple[str, ...]
    heads: tuple[str, ...]
    denominator: str | None
    negative_rate: float
    positive_rate: float
    positive: tuple[str, ...]
    dropped: dict[str, str]


def label_columns(labels: Mapping[str, Any]) -> list[str]:
    """Label columns that the trainer reads: of its tasks and of every positive action."""
    wanted = [*(t for t in TASKS if t in labels["actions"]), *labels["positive"]]
    return [f"label_{action}" for action in dict.fromkeys(wanted)]


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
    positives: Mapping[str, int],
    rows: int,
    rates: tuple[float, float],
    weighted: bool,
) -> Plan:
    """Choose tasks and heads from what the training days hold.

    Parameters
    ----------
    labels : the receipt's note: positive, implies, actions
    positives : dict of str to int
        Rows with each label, and with `any_positive`.
    rows : int
    rates : (negative_rate, positive_rate)
    weighted : bool
        The loss takes sample weights: every task is learnt as it is on the traffic, and nothing is corrected.

    Raises
    ------
    InputError
        No task has both classes, or the sampling's own label has one class only.
    """
    tasks, dropped = [], {}
    for task in TASKS:
        reason = _reason(task, labels, positives=positives, rows=rows, weighted=weighted)
        if reason:
            dropped[task] = reason
        else:
            tasks.append(task)
    shared = None if weighted else common_action(labels, among=tasks) or ANY
    if not tasks or (shared == ANY and positives[ANY] in (0, rows)):
        raise InputError(
            "labels of the training days",
            found="; ".join(f"{t}: {why}" for t, why in dropped.items())
            or f"{positives[ANY]} positives of {rows} rows",
            wanted="both classes, for one of " + ", ".join(TASKS),
            remedy="train on more days, or look at the labels and the sampling rates of these",
        )
    heads = (*tasks, ANY) if shared == ANY else tuple(tasks)
    return Plan(tuple(tasks), heads, shared, *rates, tuple(labels["positive"]), dropped)


def _reason(task: str, labels: Mapping[str, Any], *, positives: Mapping[str, int], rows: int, weighted: bool) -> str:
    """Why there can be no such task, or the empty string."""
    if task not in labels["actions"]:
        return "no label window is declared for it"
    if positives[task] in (0, rows):
        return f"one class only: {positives[task]} positives of {rows} rows"
    if not weighted and not set(_closure(task, labels["implies"])) & set(labels["positive"]):
        return "it implies no positive label, so rates cannot correct it; train with sample weights"
    return ""


def calibrated(plan: Plan, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities of the traffic, (B, tasks), from sigmoids of the heads, (B, heads): once, and only where needed."""
    scores = raw[:, : len(plan.tasks)]
    if plan.denominator is None:
        return scores
    ratio = rate_ratio(plan.negative_rate, plan.positive_rate)
    shared = raw[:, [plan.heads.index(plan.denominator)]]  # (B, 1)
    return calibrate_implied(scores, shared, ratio=ratio)
