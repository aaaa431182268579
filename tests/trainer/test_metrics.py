"""Metrics against brute force over all pairs."""

import math

import numpy as np
import pytest

from trainer.metrics import auc, correlation, gauc, log_loss, pcoc


def _brute_auc(y: np.ndarray, s: np.ndarray, *, w: np.ndarray) -> float:
    wins = pairs = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            pairs += w[i] * w[j]
            wins += w[i] * w[j] * (1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0)
    return wins / pairs if pairs else float("nan")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_equals_brute_force_with_many_ties(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    y, s = rng.integers(0, 2, 60), rng.integers(0, 9, 60) / 8
    w = rng.uniform(0.1, 20, 60) if weighted else None
    expected = _brute_auc(y, s, w=np.ones(60) if w is None else w)
    assert auc(y, s, weights=w) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_gauc_equals_brute_force_by_group_weighted_by_the_rows_of_the_group(weighted: bool) -> None:
    rng = np.random.default_rng(11)
    y, s, g = rng.integers(0, 2, 90), rng.integers(0, 6, 90) / 5, rng.integers(-9, 30, 90)
    w = rng.choice([1.0, 10.0], 90) if weighted else np.ones(90)
    values, sizes, skipped = [], [], 0
    for group in np.unique(g):
        at = g == group
        value = _brute_auc(y[at], s[at], w=w[at])
        if math.isnan(value):
            skipped += 1
        else:
            values.append(value)
            sizes.append(w[at].sum())
    found = gauc(y, s, groups=g, weights=w if weighted else None)
    assert found.value == pytest.approx(np.average(values, weights=sizes), abs=1e-12)
    assert (found.groups, found.skipped) == (len(values), skipped)


def test_log_loss_and_pcoc_equal_brute_force_with_weights() -> None:
    y, p, w = [1, 0, 0, 1], [0.9, 0.2, 0.5, 0.6], [1.0, 10.0, 10.0, 1.0]
    terms = [k * -math.log(q if t else 1 - q) for t, q, k in zip(y, p, w, strict=True)]
    assert log_loss(y, p, weights=w) == pytest.approx(sum(terms) / 22, abs=1e-12)
    assert pcoc(y, p, weights=w) == pytest.approx((0.9 + 2 + 5 + 0.6) / 2, abs=1e-12)


def test_a_weight_of_two_counts_as_the_row_twice() -> None:
    y, s = [1, 0, 0, 1, 0], [0.9, 0.8, 0.3, 0.3, 0.1]
    twice_y, twice_s = [*y, 0], [*s, 0.8]
    weights = [1, 2, 1, 1, 1]
    for metric in (auc, log_loss, pcoc):
        assert metric(y, s, weights=weights) == pytest.approx(metric(twice_y, twice_s), abs=1e-12)


def test_one_class_has_no_auc_and_no_pcoc() -> None:
    assert math.isnan(auc([0, 0], [0.1, 0.2])) and math.isnan(auc([1, 1], [0.1, 0.2]))
    assert math.isnan(pcoc([0, 0], [0.1, 0.2])) and math.isnan(gauc([], [], groups=[]).value)


def test_certain_and_wrong_costs_much_but_not_infinity() -> None:
    assert 30 < log_loss([1, 0], [0.0, 1.0]) < 40


def test_correlation_of_a_line_is_one_and_of_a_constant_undefined() -> None:
    assert correlation([1, 2, 3], [2, 4, 6], weights=[1, 5, 1]) == pytest.approx(1.0)
    assert math.isnan(correlation([1, 1], [1, 2]))


@pytest.mark.parametrize("scores", [[0.1], [0.1, float("nan")]])
def test_wrong_shapes_and_nan_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="metrics"):
        auc([0, 1], scores)
