"""Which heads a model gets, and how their scores are corrected."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.config.training import HeadsConfig
from headrace.errors import InputError
from trainer.facts import Facts, Watched, facts_from_dict, facts_to_dict
from trainer.tasks import ANY, Plan, calibrated, common_action, label_columns, label_matrix, plan_heads

LABELS = {"positive": ["click", "like"], "implies": {"like": "click"}, "actions": ["click", "like", "share"]}
COUNTS = {"click": 40, "like": 5, "share": 3, ANY: 42}
ASKED = HeadsConfig(
    tasks=("click", "like", "share"),
    watch="weighted",
    completion=("ratio", "completed"),
    weights={},
    uncertainty=False,
)
SEEN = {"watch": Watched(50, 90.0, 400.0, 9000.0), "completion": Watched(50, 90.0, 30.0, 20.0)}


def _plan(
    labels: dict, *, counts: dict | None = None, weighted: bool = False, watched: dict[str, Watched] | None = None
) -> Plan:
    found = Facts(rows=100, positives=counts or COUNTS, watched=watched or {})
    return plan_heads(labels, config=ASKED, found=found, rates=(0.1, 1.0), weighted=weighted)


def test_click_is_the_denominator_where_every_positive_implies_it() -> None:
    plan = _plan(LABELS)
    assert (plan.tasks, plan.names, plan.denominator) == (("click", "like"), ("click", "like"), "click")


def test_union_gets_a_head_of_its_own_where_a_positive_needs_no_click() -> None:
    plan = _plan(LABELS | {"positive": ["click", "like", "follow"]})
    assert plan.names == ("click", "like", ANY) and plan.denominator == ANY
    assert plan.outputs == ("click", "like")


def test_implication_is_followed_over_several_steps() -> None:
    labels = {"positive": ["share", "click"], "implies": {"share": "like", "like": "click"}}
    assert common_action(labels, among=["click", "like"]) == "click"


def test_task_that_implies_no_positive_is_dropped_with_the_reason() -> None:
    assert "implies no positive label" in _plan(LABELS).dropped["share"]


def test_same_task_is_kept_when_trained_with_weights() -> None:
    plan = _plan(LABELS, weighted=True)
    assert "share" in plan.tasks and plan.denominator is None and ANY not in plan.names
    assert all(head.weighted for head in plan.heads)


@pytest.mark.parametrize("count", [0, 100])
def test_label_of_one_class_is_dropped_with_its_counts(count: int) -> None:
    assert f"{count} positives of 100 rows" in _plan(LABELS, counts=COUNTS | {"like": count}).dropped["like"]


def test_no_task_with_two_classes_is_refused() -> None:
    with pytest.raises(InputError, match="both classes"):
        _plan(LABELS, counts=dict.fromkeys(COUNTS, 0))


def test_heads_about_watching_take_weights_beside_tasks_that_rates_correct() -> None:
    plan = _plan(LABELS, watched=SEEN)
    kinds = {head.name: (head.kind, head.weighted) for head in plan.heads}
    assert kinds == {
        "click": ("binary", False), "like": ("binary", False), "completion": ("ratio", True), "watch": ("watch", True),
    }  # fmt: skip
    assert plan.dropped["completed"] == "the days have no column label_completed"


def test_nothing_watched_is_no_head() -> None:
    plan = _plan(LABELS, watched={"watch": Watched(50, 90.0, 0.0, 0.0)})
    assert "watch" not in plan.names and plan.dropped["watch"] == "nothing above 0 in label_watch_s"


def test_only_labels_that_are_asked_for_and_there_are_read() -> None:
    read = label_columns(LABELS, heads=ASKED, present={"label_watch_s", "label_click"})
    assert read == ["label_click", "label_like", "label_share", "label_watch_s"]


def test_a_label_that_does_not_apply_is_nan_and_none_of_the_tasks_is() -> None:
    rows = pa.record_batch(
        {
            "label_click": pa.array([1, 0, 3], pa.int32()),
            "label_like": pa.array([0, 0, 1], pa.int32()),
            "label_follow": pa.array([0, 1, 0], pa.int32()),
            "label_watch_s": pa.array([2.5, None, 0.0]),
            "label_completion": pa.array([0.5, None, 2.0]),
        }
    )
    plan = _plan(LABELS | {"positive": ["click", "like", "follow"]}, watched=SEEN)
    expected = [[1, 0, 1, 0.5, 2.5], [0, 0, 1, np.nan, np.nan], [1, 1, 1, 2.0, 0.0]]
    np.testing.assert_array_equal(label_matrix(rows, plan), np.array(expected, dtype=np.float32))


def test_scores_of_the_union_undo_the_sampling() -> None:
    plan = _plan(LABELS | {"positive": ["click", "like", "follow"]})
    raw = np.array([[0.5, 0.1, 0.6]])
    np.testing.assert_allclose(calibrated(plan, raw), raw[:, :2] * 0.1 / (0.4 + 0.1 * 0.6))


def test_weighted_model_is_not_corrected_twice() -> None:
    raw = np.array([[0.5, 0.1, 0.05]])
    np.testing.assert_array_equal(calibrated(_plan(LABELS, weighted=True), raw), raw)


def test_facts_survive_json() -> None:
    facts = Facts(10, COUNTS, {"click": 1.5}, {False: (0.1, 0.2), True: (1.0, 1.0)}, 20.0, SEEN, {"age": 1})
    assert facts_from_dict(facts_to_dict(facts)) == facts
    assert facts.watched["watch"].mean == pytest.approx(400 / 90)


def test_rates_that_differ_within_a_class_need_weights() -> None:
    mixed = Facts(rates={False: (0.1, 0.3), True: (1.0, 1.0)})
    assert not mixed.one_rate_a_class and mixed.lowest_rates(weighted=True) == (0.1, 1.0)
    with pytest.raises(InputError, match=r"negatives at 0\.1 to 0\.3"):
        mixed.lowest_rates(weighted=False)
