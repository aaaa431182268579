"""True probabilities are found by impression, and only they count as known."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.errors import InputError
from trainer.metrics import auc, log_loss
from trainer.truth import compare_with_truth, true_probabilities

DS = date(2024, 5, 3)


def _write(truth: Path, day: str, *, columns: dict, part: int = 0) -> None:
    (truth / f"ds={day}").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), truth / f"ds={day}" / f"part-{part}.parquet")


def _found(truth: Path, ids: list[int], *, tasks: tuple[str, ...] = ("click",)) -> np.ndarray:
    return true_probabilities(truth, DS, impression_ids=np.array(ids), tasks=tasks)


def test_rows_are_found_in_any_order_and_file(tmp_path: Path) -> None:
    _write(tmp_path, "2024-05-03", columns={"impression_id": [3, 1], "p_click": [0.3, 0.1], "p_like": [0.03, 0.01]})
    _write(tmp_path, "2024-05-03", columns={"impression_id": [2], "p_click": [0.2], "p_like": [0.02]}, part=1)
    found = _found(tmp_path, [1, 2, 3], tasks=("like", "click"))
    assert found.tolist() == [[0.01, 0.1], [0.02, 0.2], [0.03, 0.3]]


def test_late_impression_has_its_truth_under_the_day_it_was_shown(tmp_path: Path) -> None:
    _write(tmp_path, "2024-05-03", columns={"impression_id": [1], "p_click": [0.1]})
    _write(tmp_path, "2024-04-30", columns={"impression_id": [9], "p_click": [0.9]})
    assert _found(tmp_path, [9, 1])[:, 0].tolist() == [0.9, 0.1]


def test_impression_without_truth_is_unknown_and_left_out_of_the_comparison(tmp_path: Path) -> None:
    _write(tmp_path, "2024-05-03", columns={"impression_id": [1, 2, 3], "p_click": [0.1, 0.5, 0.4]})
    true = _found(tmp_path, [1, 2, 77, 3])[:, 0]
    labels, predicted, weights = np.array([0, 1, 1, 0]), np.array([0.2, 0.3, 0.9, 0.6]), np.array([10.0, 1, 1, 10])
    report = compare_with_truth(labels, predicted, true=true, weights=weights)
    y, p, q, w = ([v[0], v[1], v[3]] for v in (labels, predicted, true, weights))
    assert report.rows == 3 and report.auc_bound == auc(y, q, weights=w) == 1.0
    assert report.log_loss_gap == pytest.approx(log_loss(y, p, weights=w) - log_loss(y, q, weights=w))
    assert report.mean_ratio == pytest.approx((2 + 0.3 + 6) / (1 + 0.5 + 4))


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"impression_id": ["1"], "p_click": [0.1]}, "whole numbers"), ({"impression_id": [1]}, "no column p_click")],
)
def test_truth_that_cannot_be_joined_is_refused(tmp_path: Path, columns: dict, message: str) -> None:
    _write(tmp_path, "2024-05-03", columns=columns)
    with pytest.raises(InputError, match=message):
        _found(tmp_path, [1])
