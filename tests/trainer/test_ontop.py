"""Platt scaling finds what was planted, isotonic regression equals pool adjacent violators by hand, and both are plain data."""

import json

import numpy as np
import pytest

from headrace.errors import InputError
from trainer.metrics import log_loss, pcoc
from trainer.ontop import (
    Isotonic,
    OnTop,
    Platt,
    Scale,
    apply_on_top,
    fit_on_top,
    fit_scale,
    on_top_from_dict,
    on_top_to_dict,
)

KINDS = ("platt", "isotonic")


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _world(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities that are off by slope 0.7 and intercept 0.5, and weights that undo a sampling of negatives."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2, 1.5, n)
    y = rng.random(n) < _sigmoid(0.7 * z + 0.5)
    kept = y | (rng.random(n) < 0.25)
    return y[kept].astype(float), _sigmoid(z)[kept], np.where(y, 1.0, 4.0)[kept]


def _pool_adjacent_violators(y: list[float], s: list[float], *, w: list[float]) -> dict[float, float]:
    """Value of each score: merge neighbours as long as one is above the next."""
    pools: list[tuple[float, float, list[float]]] = []
    for score in sorted(set(s)):
        at = [i for i, other in enumerate(s) if other == score]
        weight = sum(w[i] for i in at)
        pools.append((sum(w[i] * y[i] for i in at) / weight, weight, [score]))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (m1, w1, s1), (m2, w2, s2) = pools[-2:]
            pools[-2:] = [((m1 * w1 + m2 * w2) / (w1 + w2), w1 + w2, s1 + s2)]
    return {score: mean for mean, _, members in pools for score in members}


def test_platt_finds_the_planted_line_through_the_sampling() -> None:
    y, p, w = _world(200_000, seed=0)
    found = fit_on_top("platt", y, scores=p, weights=w)
    assert isinstance(found, Platt)
    assert (found.slope, found.intercept) == pytest.approx((0.7, 0.5), abs=0.03)


def test_no_neighbouring_line_fits_better_than_platts() -> None:
    y, p, w = _world(3_000, seed=1)
    found = fit_on_top("platt", y, scores=p, weights=w)
    assert isinstance(found, Platt)
    best = log_loss(y, apply_on_top(found, p), weights=w)
    for slope, intercept in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        near = Platt(found.slope + slope, found.intercept + intercept)
        assert log_loss(y, apply_on_top(near, p), weights=w) > best


@pytest.mark.parametrize("kind", KINDS)
def test_predicted_over_actual_is_one_on_the_rows_fitted(kind) -> None:
    y, p, w = _world(5_000, seed=2)
    assert abs(pcoc(y, p, weights=w) - 1) > 0.05
    fitted = fit_on_top(kind, y, scores=p, weights=w)
    assert pcoc(y, apply_on_top(fitted, p), weights=w) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_correction_rises_and_stays_between_0_and_1(kind) -> None:
    y, p, w = _world(2_000, seed=3)
    fitted = fit_on_top(kind, y, scores=p, weights=w)
    made = apply_on_top(fitted, np.r_[0.0, 1e-300, np.linspace(0, 1, 10_001), 1.0])
    assert made.min() >= 0 and made.max() <= 1 and np.diff(made).min() >= -1e-15
    assert np.ptp(made) > 0.5


@pytest.mark.parametrize("seed", range(6))
def test_isotonic_equals_pool_adjacent_violators_with_ties_and_weights(seed) -> None:
    rng = np.random.default_rng(seed)
    s = rng.integers(0, 12, 80) / 11
    y = (rng.random(80) < s).astype(float)
    w = rng.choice([0.5, 1.0, 10.0], 80)
    expected = _pool_adjacent_violators(y.tolist(), s.tolist(), w=w.tolist())
    made = apply_on_top(fit_on_top("isotonic", y, scores=s, weights=w), s)
    np.testing.assert_allclose(made, [expected[score] for score in s], atol=1e-12)


def test_isotonic_climbs_evenly_between_levels_and_is_flat_outside() -> None:
    fitted = fit_on_top("isotonic", [0, 1, 0, 1, 1], scores=[0.1, 0.2, 0.3, 0.5, 0.6])
    assert fitted == Isotonic((0.1, 0.2, 0.3, 0.5, 0.6), (0.0, 0.5, 0.5, 1.0, 1.0))
    np.testing.assert_allclose(apply_on_top(fitted, [0.0, 0.15, 0.25, 0.4, 0.9]), [0, 0.25, 0.5, 0.75, 1], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_weight_or_label_change_nothing(kind) -> None:
    y, p, w = _world(500, seed=4)
    more = fit_on_top(kind, np.r_[1 - y, y, np.nan], scores=np.r_[p, p, 0.3], weights=np.r_[0 * w, w, 5.0])
    assert more == fit_on_top(kind, y, scores=p, weights=w)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("labels", "weights"), [([0, 0], None), ([1, 1], None), ([], None), ([np.nan, np.nan], None), ([1, 0], [1, 0])]
)
def test_one_class_is_refused_with_what_to_do(kind, labels, weights) -> None:
    with pytest.raises(InputError, match="both classes"):
        fit_on_top(kind, labels, scores=[0.1, 0.2][: len(labels)], weights=weights)


@pytest.mark.parametrize("scores", [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.2, 0.4]])
def test_classes_that_one_score_parts_leave_platt_with_finite_numbers(scores) -> None:
    found = fit_on_top("platt", [0, 0, 1, 1], scores=scores)
    assert isinstance(found, Platt) and 0 < found.slope < 100
    made = apply_on_top(found, scores)
    assert made[0] < 0.3 and made[3] > 0.7 and made[1] < 0.5 and made[1] <= made[2]


@pytest.mark.parametrize("scores", [[0.4, 0.3, 0.2, 0.1], [0.2, 0.2, 0.2, 0.2]])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_that_do_not_rise_with_the_label_become_the_mean(kind, scores) -> None:
    made = apply_on_top(fit_on_top(kind, [0, 0, 1, 1], scores=scores, weights=[3, 3, 1, 1]), scores)
    np.testing.assert_allclose(made, 0.25, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_exactly_0_and_1_are_fitted(kind) -> None:
    fitted = fit_on_top(kind, [0, 1, 0, 1, 1], scores=[0.0, 0.0, 0.5, 0.5, 1.0])
    assert np.isfinite(apply_on_top(fitted, [0.0, 0.5, 1.0])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_correction_goes_through_json_unchanged(kind) -> None:
    y, p, w = _world(2_000, seed=5)
    fitted: OnTop = fit_on_top(kind, y, scores=p, weights=w)
    assert on_top_from_dict(json.loads(json.dumps(on_top_to_dict(fitted)))) == fitted


@pytest.mark.parametrize(
    "described",
    [
        {"kind": "spline"},
        {"kind": "platt", "slope": -1, "intercept": 0},
        {"kind": "platt", "slope": 1, "intercept": float("nan")},
        {"kind": "isotonic", "scores": [0.1, 0.2], "values": [0.3, 0.2]},
        {"kind": "isotonic", "scores": [0.1, 0.1], "values": [0.2, 0.3]},
        {"kind": "isotonic", "scores": [0.1], "values": [1.5]},
        {"kind": "isotonic", "scores": [], "values": []},
        {"kind": "isotonic", "scores": [0.1, 0.2], "values": [0.1]},
    ],
)
def test_what_is_no_correction_is_refused(described) -> None:
    with pytest.raises(ValueError, match="on_top"):
        on_top_from_dict(described)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="found a"):
        fit_on_top("platt", [0, 1], scores=[0.1, bad])
    with pytest.raises(ValueError, match="ontop"):
        apply_on_top(Platt(1.0, 0.0), [bad])


def test_a_scale_makes_amounts_add_up_and_survives_json() -> None:
    scale = fit_scale([0.0, 4.0, 2.0], estimates=[1.0, 1.0, 1.0], weights=[1.0, 1.0, 2.0])
    assert scale == Scale(2.0) and on_top_from_dict(on_top_to_dict(scale)) == scale
    np.testing.assert_array_equal(apply_on_top(scale, [0.5, 3.0]), [1.0, 6.0])


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="0 actual"):
        fit_scale([0.0], estimates=[1.0], weights=[1.0])
