"""The calibration formulas against simulation, against each other, and at the edges."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sampling.calibration import (
    calibrate,
    calibrate_implied,
    calibrate_per_row,
    decalibrate,
    decalibrate_implied,
    inverse_rate,
    rate_ratio,
)
from simulation import WorldSpec, simulate

N = 400_000


def _within_four_errors(estimate: float, truth: float, *, error: float) -> bool:
    return abs(estimate - truth) <= 4 * error


def _share(labels: np.ndarray) -> tuple[float, float]:
    p = float(labels.mean())
    return p, float(np.sqrt(p * (1 - p) / len(labels)))


@pytest.mark.parametrize(("a", "b"), [(0.1, 1.0), (0.05, 0.5), (0.6, 0.3)])
def test_one_task_is_recovered_from_a_simulated_sample(a: float, b: float) -> None:
    rng = np.random.default_rng(1)
    click = rng.random(N) < 0.07
    sampled, error = _share(click[rng.random(N) < np.where(click, b, a)])
    ratio = rate_ratio(a, b)
    slope = ratio / ((1 - sampled) + ratio * sampled) ** 2  # derivative of calibrate
    assert _within_four_errors(calibrate(sampled, ratio=ratio), 0.07, error=slope * error)


def test_implied_task_is_recovered_from_a_simulated_sample() -> None:
    rng = np.random.default_rng(2)
    estimates = []
    for _ in range(40):
        click = rng.random(N // 10) < 0.07
        like = click & (rng.random(N // 10) < 0.3)
        kept = rng.random(N // 10) < np.where(click, 1.0, 0.1)
        estimates.append(calibrate_implied(like[kept].mean(), click[kept].mean(), ratio=0.1))
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert _within_four_errors(float(np.mean(estimates)), 0.021, error=error)


def test_click_alone_is_the_wrong_denominator_where_a_follow_needs_no_click() -> None:
    rng = np.random.default_rng(3)
    click, follow = rng.random(N) < 0.05, rng.random(N) < 0.05
    any_positive = click | follow
    kept = rng.random(N) < np.where(any_positive, 1.0, 0.1)
    right = calibrate_implied(click[kept].mean(), any_positive[kept].mean(), ratio=0.1)
    wrong = calibrate(click[kept].mean(), ratio=0.1)
    error = np.sqrt(0.05 * 0.95 / kept.sum())
    assert _within_four_errors(right, 0.05, error=error) and not _within_four_errors(wrong, 0.05, error=error)


def test_rates_of_each_row_are_undone_by_the_general_form() -> None:
    rng = np.random.default_rng(4)
    label = rng.random(N) < 0.2
    rate = rng.choice([0.1, 0.5, 0.9], N) * np.where(label, 1.0, 0.7)
    kept = rng.random(N) < rate
    weight, y = 1 / rate[kept], label[kept].astype(float)
    estimate = float(calibrate_per_row(np.mean(y * weight), np.mean(weight)))
    error = float(np.std((y - estimate) * weight) / np.mean(weight) / np.sqrt(kept.sum()))
    assert _within_four_errors(estimate, 0.2, error=error)


def test_closed_forms_are_special_cases_of_the_general_form() -> None:
    any_positive, like = np.array([0.01, 0.5, 0.99]), np.array([0.001, 0.2, 0.5])
    one_over_rate = inverse_rate(any_positive, negative_rate=0.05, positive_rate=0.5)
    general = calibrate_per_row(like / 0.5, one_over_rate)
    np.testing.assert_allclose(calibrate_implied(like, any_positive, ratio=0.1), general, rtol=1e-14)
    np.testing.assert_allclose(
        calibrate(any_positive, ratio=0.1), calibrate_implied(any_positive, any_positive, ratio=0.1), rtol=1e-15
    )


@pytest.mark.parametrize("ratio", [1e-6, 0.1, 1.0, 20.0])
def test_inverse_undoes_calibration_over_the_whole_range(ratio: float) -> None:
    p = np.array([0.0, 1e-300, 1e-12, 1e-3, 0.5, 0.999, 1.0])
    np.testing.assert_allclose(calibrate(decalibrate(p, ratio=ratio), ratio=ratio), p, rtol=1e-9)
    half = p / 2
    sampled = decalibrate_implied(half, p, ratio=ratio)
    np.testing.assert_allclose(calibrate_implied(sampled, decalibrate(p, ratio=ratio), ratio=ratio), half, rtol=1e-9)


def test_edges_stay_finite_and_exact_at_a_rate_of_one_in_a_million() -> None:
    assert calibrate(np.array([0.0, 1.0]), ratio=1e-6).tolist() == [0.0, 1.0]
    assert calibrate(1 - 1e-9, ratio=1e-6) == pytest.approx(1e-6 / (1e-9 + 1e-6), rel=1e-6)
    assert calibrate_implied(0.0, 0.0, ratio=1e-6) == 0.0


def test_rate_of_one_changes_nothing() -> None:
    p = np.linspace(0, 1, 11)
    np.testing.assert_array_equal(calibrate(p, ratio=1.0), p)


def test_result_stays_a_probability_where_a_model_puts_a_like_above_its_click() -> None:
    like, click = np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 1, 21))
    p = calibrate_implied(like, click, ratio=0.1)
    assert p.min() >= 0 and p.max() <= 1


def test_torch_gives_the_same_numbers_and_lets_gradients_through() -> None:
    p = torch.tensor([0.1, 0.9], dtype=torch.float64, requires_grad=True)
    made = calibrate(p, ratio=0.1)
    made.sum().backward()
    np.testing.assert_allclose(made.detach().numpy(), calibrate(np.array([0.1, 0.9]), ratio=0.1), rtol=1e-15)
    assert p.grad is not None and bool((p.grad > 0).all())


@pytest.mark.parametrize("rates", [(0.0, 1.0), (0.1, 0.0), (1.5, 1.0), (float("nan"), 1.0)])
def test_rate_that_is_no_probability_is_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="wanted a probability"):
        rate_ratio(*rates)
    with pytest.raises(ValueError, match="ratio"):
        calibrate(0.5, ratio=0.0)


def test_on_a_simulated_world_the_naive_formula_misses_the_likes_and_the_joint_one_does_not(tmp_path) -> None:
    """Negatives at 0.05. The model is the frequency in bins of the true click probability, as good as a model can be."""
    spec = WorldSpec(days=3, impressions_per_day=60_000, users=2_000, items=500, authors=50, categories=5, seed=5)
    simulate(tmp_path / "world", spec=spec)
    truth = pa.concat_tables(
        [pq.ParquetFile(f).read() for f in sorted((tmp_path / "world" / "truth").rglob("*.parquet"))]
    )
    p, click, like = (truth[name].to_numpy() for name in ("p_click", "clicked", "liked"))
    kept = np.random.default_rng(6).random(len(p)) < np.where(click, 1.0, 0.05)
    places = np.searchsorted(np.quantile(p, np.linspace(0, 1, 21)[1:-1]), p)
    naive, joint, spread = 0.0, 0.0, 0.0
    for place in range(20):
        rows, here = places == place, kept & (places == place)
        sampled_click, sampled_like = click[here].mean(), like[here].mean()
        naive += rows.sum() * calibrate(sampled_like, ratio=0.05)
        joint += rows.sum() * calibrate_implied(sampled_like, sampled_click, ratio=0.05)
        share = calibrate_implied(sampled_like, sampled_click, ratio=0.05)
        spread += rows.sum() ** 2 * share**2 * (1 - sampled_click) / (here.sum() * sampled_click)
    actual = like.sum()
    error = np.sqrt(actual + spread)  # of the likes themselves, and of the clicked share that the sample lets us see
    assert abs(joint - actual) <= 4 * error
    assert abs(naive - actual) > 4 * error, f"naive {naive:.0f}, joint {joint:.0f}, actual {actual}"
