"""f(duration) against brute force over bins, and the edges of durations."""

import json
import math

import numpy as np
import pytest

from headrace.errors import InputError
from trainer.duration import (
    DurationCurve,
    DurationFitter,
    curve_from_dict,
    curve_to_dict,
    expected_completion,
    normalise,
)


def _rows(n: int = 4000, *, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Durations, completions that fall with duration (with a bump that noise alone would not make), and weights."""
    rng = np.random.default_rng(seed)
    duration = np.exp(rng.normal(math.log(40), 1.2, n))
    mean = np.clip(0.9 - 0.12 * np.log(duration) + 0.15 * (np.abs(duration - 60) < 15), 0.02, 0.98)
    return duration, np.clip(rng.beta(2 * mean, 2 * (1 - mean)), 0, 1), rng.choice([1.0, 10.0], n)


def _fitted(duration, value, *, weight=None, **how) -> DurationCurve:
    fitter = DurationFitter()
    fitter.add(duration, value, weight=weight)
    return fitter.finish(**how)


def _brute_bins(duration, value, weight, *, least_rows: float) -> list[tuple[float, float, float]]:
    """(mean log duration, mean completion, weight) of quarter octaves, thin ones joined to the next longer, row by row."""
    rows: dict[int, list[tuple[float, float, float]]] = {}
    for d, v, w in zip(duration, value, weight, strict=True):
        rows.setdefault(math.floor(math.log2(d) * 4), []).append((d, v, w))
    bins: list[list[tuple[float, float, float]]] = []
    held: list[tuple[float, float, float]] = []
    for place in sorted(rows):
        held = held + rows[place]
        if sum(w for *_, w in held) ** 2 / sum(w**2 for *_, w in held) >= least_rows:
            bins, held = [*bins, held], []
    bins = [*bins[:-1], bins[-1] + held]
    return [
        (
            sum(w * math.log(d) for d, _, w in b) / sum(w for *_, w in b),
            sum(w * v for _, v, w in b) / sum(w for *_, w in b),
            sum(w for *_, w in b),
        )
        for b in bins
    ]


def test_points_equal_the_weighted_means_of_bins_by_brute_force() -> None:
    duration, value, weight = _rows()
    curve = _fitted(duration, value, weight=weight, least_rows=60, monotone=False)
    expected = np.array(_brute_bins(duration, value, weight, least_rows=60)).T
    assert 10 < len(curve.values) < 40
    np.testing.assert_allclose([curve.log_durations, curve.values, curve.weights], expected, rtol=1e-12)
    assert curve.overall == pytest.approx(np.average(value, weights=weight), rel=1e-12)
    assert curve.rows == len(duration)


def test_a_monotone_curve_is_the_nearest_one_that_never_rises() -> None:
    curve = _fitted(*_rows()[:2], least_rows=40)
    y, w = np.array(curve.measured), np.array(curve.weights)
    assert np.any(np.diff(y) > 0) and np.all(np.diff(curve.values) <= 0)

    def mean(i: int, j: int) -> float:
        return float(np.average(y[i : j + 1], weights=w[i : j + 1]))

    # The min-max form of isotonic regression, over all pairs of ends.
    best = [min(max(mean(i, j) for j in range(k, len(y))) for i in range(k + 1)) for k in range(len(y))]
    np.testing.assert_allclose(curve.values, best, rtol=1e-12)
    assert np.average(curve.values, weights=w) == pytest.approx(curve.overall, rel=1e-12)


def test_f_is_linear_in_log_duration_between_points_and_constant_beyond() -> None:
    curve = DurationCurve((math.log(10), math.log(40)), (0.8, 0.4), (0.8, 0.4), (5.0, 5.0), 0.6, 10, True)
    found = expected_completion([1.0, 10.0, 20.0, 40.0, 9e9], curve)
    np.testing.assert_allclose(found, [0.8, 0.8, 0.6, 0.4, 0.4], rtol=1e-12)


@pytest.mark.parametrize("monotone", [False, True])
def test_batch_by_batch_is_the_same_as_in_one_go(monotone: bool) -> None:
    duration, value, weight = _rows()
    whole = _fitted(duration, value, weight=weight, monotone=monotone)
    fitter = DurationFitter()
    for cut in np.array_split(np.random.default_rng(1).permutation(len(duration)), 37):
        fitter.add(duration[cut], value[cut], weight=weight[cut])
    for name in ("log_durations", "values", "measured", "weights", "overall"):
        np.testing.assert_allclose(
            getattr(fitter.finish(monotone=monotone), name), getattr(whole, name), rtol=1e-12, err_msg=name
        )


def test_a_weight_of_three_counts_as_the_row_three_times_in_every_mean() -> None:
    duration, value = [10.0, 11.0, 80.0], [0.9, 0.3, 0.2]
    weighted = _fitted(duration, value, weight=[3.0, 1.0, 2.0], least_rows=1)
    repeated = _fitted([10.0, 10.0, 10.0, 11.0, 80.0, 80.0], [0.9, 0.9, 0.9, 0.3, 0.2, 0.2], least_rows=1)
    np.testing.assert_allclose(weighted.values, repeated.values, rtol=1e-12)
    np.testing.assert_allclose(weighted.log_durations, repeated.log_durations, rtol=1e-12)
    assert (weighted.rows, repeated.rows) == (3, 6)


def test_one_heavy_row_does_not_make_a_bin() -> None:
    duration, value = np.r_[np.full(50, 10.0), np.full(50, 100.0)], np.r_[np.full(50, 0.9), np.full(50, 0.1)]
    even = _fitted(duration, value, least_rows=40)
    uneven = _fitted(duration, value, weight=np.where(np.arange(100) % 50 == 0, 1000.0, 1.0), least_rows=40)
    assert (len(even.values), len(uneven.values)) == (2, 1)


def test_few_rows_give_one_point_that_holds_everywhere() -> None:
    curve = _fitted([5.0, 300.0], [0.9, 0.1])
    np.testing.assert_allclose(expected_completion([1.0, 1e6, np.nan], curve), 0.5, rtol=1e-12)


@pytest.mark.parametrize("duration", [None, 0.0, -3.0, math.nan, math.inf])
def test_a_duration_that_is_none_counts_nowhere_and_gets_the_overall_mean(duration: float | None) -> None:
    known = _fitted([10.0, 100.0], [0.9, 0.1], least_rows=1)
    with_more = _fitted([10.0, duration, 100.0], [0.9, 1.0, 0.1], least_rows=1)
    assert with_more == known
    assert expected_completion(np.array([duration], dtype=float), known).tolist() == [known.overall]


def test_durations_outside_of_the_grid_count_in_the_outermost_bins() -> None:
    curve = _fitted([1e-9, 1e-3, 30.0, 1e12], [1.0, 0.8, 0.5, 0.2], least_rows=1)
    np.testing.assert_allclose(curve.values, [0.9, 0.5, 0.2], rtol=1e-12)


def test_a_row_without_completion_is_left_out_and_one_above_one_is_clipped_as_in_the_loss() -> None:
    curve = _fitted([10.0, 10.0, 10.0], [math.nan, 3.0, 0.5])
    assert curve.values == (0.75,) and curve.rows == 2


@pytest.mark.parametrize(
    ("duration", "value", "weight"),
    [([], [], []), ([0.0], [0.5], [1.0]), ([9.0], [math.nan], [1.0]), ([9.0], [1.0], [0.0])],
)
def test_training_days_without_any_duration_are_refused(duration: list, value: list, weight: list) -> None:
    with pytest.raises(InputError, match="duration_s"):
        _fitted(duration, value, weight=weight)


def test_the_usual_completion_becomes_one_at_every_duration() -> None:
    duration, value, weight = _rows(40_000)
    curve = _fitted(duration, value, weight=weight)
    made = normalise(value, duration, curve=curve)
    for low, high in ((0, 15), (15, 60), (60, 200), (200, 1e9)):
        here = (duration >= low) & (duration < high)
        error = np.std(made[here]) / np.sqrt(np.sum(weight[here]) ** 2 / np.sum(weight[here] ** 2))
        assert abs(np.average(made[here], weights=weight[here]) - 1) < 4 * error + 0.02  # 0.02: f bends within a bin
        assert abs(np.average(value[here], weights=weight[here]) / curve.overall - 1) > 0.05


def test_the_floor_bounds_what_a_completion_is_multiplied_by() -> None:
    curve = DurationCurve((1.0, 2.0), (0.5, 0.001), (0.5, 0.001), (1.0, 1.0), 0.2, 2, True)
    assert normalise([0.1], [1e5], curve=curve, floor=0.02).tolist() == [5.0]
    with pytest.raises(ValueError, match="floor"):
        normalise([0.1], [1.0], curve=curve, floor=0.0)


def test_a_curve_survives_json_bit_by_bit() -> None:
    curve = _fitted(*_rows()[:2])
    again = curve_from_dict(json.loads(json.dumps(curve_to_dict(curve))))
    assert again == curve and curve == curve_from_dict(curve_to_dict(curve))


@pytest.mark.parametrize("broken", [{"values": [0.5]}, {"log_durations": [2.0, 1.0]}])
def test_a_broken_curve_is_refused(broken: dict) -> None:
    curve = DurationCurve((1.0, 2.0), (0.5, 0.1), (0.5, 0.1), (1.0, 1.0), 0.2, 2, True)
    with pytest.raises(ValueError, match="ascend"):
        curve_from_dict({**curve_to_dict(curve), **broken})
