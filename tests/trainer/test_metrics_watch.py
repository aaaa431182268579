"""Watch time's metrics against brute force over all pairs."""

import math

import numpy as np
import pytest

from trainer.metrics import Gauc, gxauc, mae, mean_ratio, pcoc, watch, watch_metrics, xauc

NAN = float("nan")


def _brute_xauc(t: np.ndarray, p: np.ndarray, *, w: np.ndarray) -> float:
    wins = pairs = 0.0
    for i in range(len(t)):
        for j in range(len(t)):
            if t[i] > t[j]:
                pairs += w[i] * w[j]
                wins += w[i] * w[j] * (1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0)
    return wins / pairs if pairs else NAN


def _world(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Watch time and estimates with many ties in each and in both, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, n) * 2.5, rng.integers(-4, 9, n) / 7, rng.choice([0.0, 1.0, 3.3, 10.0], n)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 80])
@pytest.mark.parametrize("seed", range(4))
def test_xauc_equals_brute_force_with_ties_and_weights(n: int, seed: int) -> None:
    t, p, w = _world(n, seed=seed)
    assert xauc(t, p, weights=w) == pytest.approx(_brute_xauc(t, p, w=w), abs=1e-12, nan_ok=True)
    assert xauc(t, p) == pytest.approx(_brute_xauc(t, p, w=np.ones(n)), abs=1e-12, nan_ok=True)


def test_xauc_of_more_rows_than_are_counted_at_once_equals_brute_force(monkeypatch) -> None:
    monkeypatch.setattr(watch, "_CACHED_ROWS", 16)
    rng = np.random.default_rng(5)
    t, p, w = rng.integers(0, 90, 400) / 3, rng.integers(0, 200, 400) / 7, rng.uniform(0, 4, 400)
    assert xauc(t, p, weights=w) == pytest.approx(_brute_xauc(t, p, w=w), abs=1e-12)


@pytest.mark.parametrize("rows", [4, 10**6])
def test_xauc_by_user_equals_brute_force_by_group(rows: int, monkeypatch) -> None:
    monkeypatch.setattr(watch, "_CACHED_ROWS", rows)
    t, p, w = _world(300, seed=9)
    users = np.random.default_rng(9).integers(-5, 40, 300) ** 3
    t[users == users[0]] = 7.5
    own = [(_brute_xauc(t[users == u], p[users == u], w=w[users == u]), w[users == u].sum()) for u in np.unique(users)]
    known = [(value, size) for value, size in own if not math.isnan(value)]
    found = gxauc(t, p, groups=users, weights=w)
    assert found.value == pytest.approx(sum(v * s for v, s in known) / sum(s for _, s in known), abs=1e-12)
    assert (found.groups, found.skipped) == (len(known), len(own) - len(known)) and found.skipped > 0


def test_users_of_one_actual_value_are_skipped_also_where_the_others_have_no_weight() -> None:
    t, p, users = [5, 5, 1, 2, 1, 2], [1, 2, 3, 4, 4, 3], [1, 1, 2, 2, 3, 3]
    assert gxauc(t, p, groups=users) == Gauc(0.5, 2, 1)
    weightless = gxauc(t, p, groups=users, weights=[1, 1, 0.1, 0, 0, 0.3])
    assert math.isnan(weightless.value) and (weightless.groups, weightless.skipped) == (0, 3)


def test_xauc_of_a_rising_function_is_one_and_of_a_constant_a_half() -> None:
    rng = np.random.default_rng(1)
    t = rng.lognormal(3, 1, 500)
    assert xauc(t, np.log(t)) == 1.0 and xauc(t, -t) == 0.0 and xauc(t, np.zeros(500)) == 0.5


def test_mae_and_mean_ratio_equal_their_definitions_with_weights() -> None:
    t, p, w = [0.0, 10.0, 30.0], [2.0, 4.0, 30.0], [1.0, 2.0, 0.5]
    assert mae(t, p, weights=w) == pytest.approx((2 + 2 * 6 + 0) / 3.5, abs=1e-12)
    assert mean_ratio(t, p, weights=w) == pytest.approx((2 + 8 + 15) / (20 + 15), abs=1e-12)
    assert mean_ratio([0, 1], [0.2, 0.4]) == pcoc([0, 1], [0.2, 0.4])


@pytest.mark.parametrize("metric", [mae, mean_ratio, xauc])
def test_a_note_without_watch_time_counts_nowhere_whatever_is_said_of_it(metric) -> None:
    t, p, w = [5.0, 2.0, 0.0], [4.0, 3.0, 3.5], [1.0, 10.0, 2.0]
    assert metric([NAN, *t, NAN], [7.0, *p, NAN], weights=[3.0, *w, 1.0]) == metric(t, p, weights=w)


@pytest.mark.parametrize("metric", [mae, mean_ratio, xauc])
def test_what_has_no_rows_or_no_weight_is_undefined(metric) -> None:
    assert math.isnan(metric([], [])) and math.isnan(metric([NAN], [1.0]))
    assert math.isnan(metric([1, 2], [1.0, 1.0], weights=[0, 0]))


def test_nothing_watched_has_no_ratio_and_no_order() -> None:
    assert math.isnan(mean_ratio([0, 0], [1, 2])) and math.isnan(xauc([0, 0], [1, 2]))


@pytest.mark.parametrize(("t", "p"), [([-1, 2], [1, 2]), ([1, 2], [1, float("inf")]), ([1, float("inf")], [1, 2])])
def test_negative_watch_time_and_infinite_estimates_are_refused(t, p) -> None:
    for metric in (mae, mean_ratio, xauc):
        with pytest.raises(ValueError, match="metrics"):
            metric(t, p)


def test_watch_metrics_are_those_of_the_rows_with_watch_time() -> None:
    t, p, w, users = [5.0, NAN, 2.0, 0.0], [4.0, 9.0, 3.0, 3.5], [1.0, 5.0, 10.0, 2.0], [1, 1, 1, 2]
    found = watch_metrics(t, p, weights=w, users=users)
    t, p, w, users = t[:1] + t[2:], p[:1] + p[2:], w[:1] + w[2:], users[:1] + users[2:]
    assert (found.rows, found.missing, found.mean) == (3, 1, pytest.approx(25 / 13))
    assert (found.mae, found.mean_ratio) == (mae(t, p, weights=w), mean_ratio(t, p, weights=w))
    assert (found.xauc, found.xauc_user) == (xauc(t, p, weights=w), gxauc(t, p, groups=users, weights=w))
    assert watch_metrics(t, p).xauc_user is None and watch_metrics([], []).rows == 0
