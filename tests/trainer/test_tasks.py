"""Which heads a model gets, and how their scores are corrected."""

import numpy as np
import pytest

from headrace.errors import InputError
from trainer.tasks import ANY, Plan, calibrated, common_action, plan_heads

LABELS = {"positive": ["click", "like"], "implies": {"like": "click"}, "actions": ["click", "like", "share"]}
COUNTS = {"click": 40, "like": 5, "share": 3, ANY: 42}


def _plan(labels: dict, *, counts: dict | None = None, weighted: bool = False) -> Plan:
    return plan_heads(labels, positives=counts or COUNTS, rows=100, rates=(0.1, 1.0), weighted=weighted)


def test_click_is_the_denominator_where_every_positive_implies_it() -> None:
    plan = _plan(LABELS)
    assert (plan.tasks, plan.heads, plan.denominator) == (("click", "like"), ("click", "like"), "click")


def test_union_gets_a_head_of_its_own_where_a_positive_needs_no_click() -> None:
    plan = _plan(LABELS | {"positive": ["click", "like", "follow"]})
    assert plan.heads == ("click", "like", ANY) and plan.denominator == ANY


def test_implication_is_followed_over_several_steps() -> None:
    labels = {"positive": ["share", "click"], "implies": {"share": "like", "like": "click"}}
    assert common_action(labels, among=["click", "like"]) == "click"


def test_task_that_implies_no_positive_is_dropped_with_the_reason() -> None:
    assert "implies no positive label" in _plan(LABELS).dropped["share"]


def test_same_task_is_kept_when_trained_with_weights() -> None:
    plan = _plan(LABELS, weighted=True)
    assert "share" in plan.tasks and plan.denominator is None and ANY not in plan.heads


@pytest.mark.parametrize("count", [0, 100])
def test_label_of_one_class_is_dropped_with_its_counts(count: int) -> None:
    assert f"{count} positives of 100 rows" in _plan(LABELS, counts=COUNTS | {"like": count}).dropped["like"]


def test_no_task_with_two_classes_is_refused() -> None:
    with pytest.raises(InputError, match="both classes"):
        _plan(LABELS, counts=dict.fromkeys(COUNTS, 0))


def test_scores_of_the_union_undo_the_sampling() -> None:
    plan = _plan(LABELS | {"positive": ["click", "like", "follow"]})
    raw = np.array([[0.5, 0.1, 0.6]])
    np.testing.assert_allclose(calibrated(plan, raw), raw[:, :2] * 0.1 / (0.4 + 0.1 * 0.6))


def test_weighted_model_is_not_corrected_twice() -> None:
    raw = np.array([[0.5, 0.1, 0.05]])
    np.testing.assert_array_equal(calibrated(_plan(LABELS, weighted=True), raw), raw)
