"""Losses of heads against plain loops and closed forms, labels that do not apply, and what a constant learns."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from benchmarks.watchbias import CASES, Seconds, exact_table, fitted_logit, scale_table
from trainer.heads import Head, Watch, estimates, head_losses, loss_scales, start_logits, targets, total_loss

NAN = math.nan
CLICK = Head("click", "binary", "label_click")
LIKE = Head("like", "binary", "label_like", weighted=True)
WATCH = Head("watch", "watch", "label_watch_s")
HEAVY_WATCH = Head("watch", "watch", "label_watch_s", weighted=True)
RATIO = Head("completion", "ratio", "label_completion")
MIXED = (CLICK, HEAVY_WATCH, RATIO, LIKE, WATCH)


def _naive(z: float, label: float, *, head: Head, watch: Watch) -> float:
    """One cell by the definitions of the issue: cross-entropy of y, for weighted watch times 1 + t."""
    p, factor = 1 / (1 + math.exp(-z)), 1.0
    y = min(max(label, 0.0), 1.0) if head.kind == "ratio" else label
    if head.kind == "watch":
        y, factor = label / (1 + label), 1 + label if watch == "weighted" else 1.0
    return -factor * (y * math.log(p) + (1 - y) * math.log(1 - p))


def _batch(rows: int = 40, *, heads=MIXED, missing: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels with holes, and weights, float64."""
    rng = np.random.default_rng(5)
    made = {
        "binary": rng.integers(0, 2, (rows, len(heads))),
        "watch": rng.exponential(20, (rows, len(heads))) * (rng.random((rows, len(heads))) < 0.5),
        "ratio": rng.uniform(-0.2, 1.4, (rows, len(heads))),
    }
    labels = np.stack([made[head.kind][:, t] for t, head in enumerate(heads)], axis=1).astype(float)
    labels[rng.random(labels.shape) < missing] = NAN
    logits, weight = rng.normal(0, 2, labels.shape), rng.choice([1.0, 10.0], rows)
    return torch.tensor(logits, requires_grad=True), torch.tensor(labels), torch.tensor(weight)


@pytest.mark.parametrize("watch", ["weighted", "unweighted"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_losses_equal_a_loop_over_the_rows_that_have_the_label(watch: Watch, missing: float) -> None:
    logits, labels, weight = _batch(missing=missing)
    scales = [1.0, 25.0, 1.0, 2.0, 4.0]
    found = head_losses(
        logits, labels, heads=MIXED, weight=weight, watch=watch, mean_weight=4.0, scales=scales, complete=missing == 0
    )
    for t, head in enumerate(MIXED):
        rows = [i for i in range(len(labels)) if not labels[i, t].isnan()]
        cost = [_naive(logits[i, t].item(), labels[i, t].item(), head=head, watch=watch) for i in rows]
        factor = [weight[i].item() / 4.0 if head.weighted else 1.0 for i in rows]
        expected = sum(f * c for f, c in zip(factor, cost, strict=True)) / len(rows) / scales[t]
        assert found[t].item() == pytest.approx(expected, rel=1e-12), head


@pytest.mark.parametrize("heads", [(CLICK, CLICK), (LIKE, LIKE), (LIKE, CLICK), (RATIO, CLICK)])
def test_without_a_watch_head_the_losses_are_the_same_by_the_short_way(heads: tuple[Head, ...]) -> None:
    logits, labels, weight = _batch(heads=heads, missing=0.0)
    found = head_losses(logits, labels, heads=heads, weight=weight, complete=True)
    factors = [weight.numpy() if head.weighted else np.ones(len(weight)) for head in heads]
    cells = [
        [_naive(logits[i, t].item(), labels[i, t].item(), head=head, watch="weighted") for i in range(len(labels))]
        for t, head in enumerate(heads)
    ]
    np.testing.assert_allclose(
        found.detach(), [np.mean(f * c) for f, c in zip(factors, cells, strict=True)], rtol=1e-12
    )
    np.testing.assert_allclose(
        found.detach(), head_losses(logits, labels, heads=heads, weight=weight).detach(), rtol=1e-12
    )


@pytest.mark.parametrize("watch", ["weighted", "unweighted"])
def test_gradients_equal_numerical_ones(watch: Watch) -> None:
    logits, labels, weight = _batch(6)
    assert torch.autograd.gradcheck(
        lambda z: head_losses(z, labels, heads=MIXED, weight=weight, watch=watch, mean_weight=4.0), logits
    )


def test_a_missing_label_costs_nothing_and_has_no_gradient() -> None:
    logits, labels, weight = _batch()
    losses = head_losses(logits, labels, heads=MIXED, weight=weight)
    losses.sum().backward()
    missing = labels.isnan()
    assert logits.grad is not None and missing.any()
    assert (logits.grad[missing] == 0).all() and (logits.grad[~missing] != 0).all()
    moved = torch.where(missing, logits.detach() + 5, logits.detach())
    np.testing.assert_array_equal(losses.detach(), head_losses(moved, labels, heads=MIXED, weight=weight))


def test_a_head_without_any_label_in_the_batch_has_loss_zero_and_gradient_zero() -> None:
    logits, labels, weight = _batch()
    labels[:, [1, 3]] = NAN
    losses = head_losses(logits, labels, heads=MIXED, weight=weight)
    assert (losses[[1, 3]] == 0).all() and (losses[[0, 2, 4]] > 0).all()
    losses.sum().backward()
    assert logits.grad is not None and (logits.grad[:, [1, 3]] == 0).all() and logits.grad.isfinite().all()


def test_the_mean_gradient_over_all_batches_is_that_of_all_rows() -> None:
    # Every pair of five rows, one of them without the label: a batch's own sum of weights as the divisor would be off.
    z, y = torch.tensor([-1.0, 0.5, 2.0, 0.0, 1.0]).double(), torch.tensor([1.0, 0.0, 0.0, 1.0, NAN]).double()
    w = torch.tensor([1.0, 10.0, 10.0, 1.0, 3.0]).double()

    def slope(rows: list[int], *, own_sum: bool = False) -> float:
        shift = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        chosen, applies = torch.tensor(rows), ~y[rows].isnan()
        mean_weight = float(w[rows][applies].mean()) if own_sum else 5.5
        logits, labels = (z[chosen] + shift)[:, None], y[chosen][:, None]
        head_losses(logits, labels, heads=[LIKE], weight=w[chosen], mean_weight=mean_weight).sum().backward()
        assert shift.grad is not None
        return shift.grad.item()

    batches = [list(rows) for rows in itertools.combinations(range(5), 2)]
    truth = slope([0, 1, 2, 3])
    assert np.mean([slope(rows) for rows in batches]) == pytest.approx(truth, rel=1e-12)
    assert abs(np.mean([slope(rows, own_sum=True) for rows in batches]) - truth) > 0.05 * abs(truth)


def _constant(seconds: np.ndarray, *, watch: Watch) -> float:
    """exp(z) of the one logit that the loss likes best for all rows."""
    labels = torch.tensor(seconds)[:, None]

    def loss(z: float) -> float:
        return head_losses(torch.full_like(labels, z), labels, heads=[WATCH], watch=watch, complete=True).item()

    return math.exp(minimize_scalar(loss, bracket=(-3, 3), tol=1e-12).x)


@pytest.mark.parametrize("seconds", [[0.0, 0.0, 0.0, 60.0], [5.0, 5.0, 5.0], [0.1, 3.0, 900.0]])
def test_the_best_constant_of_the_weighted_watch_head_is_the_mean_and_of_the_unweighted_below_it(seconds: list) -> None:
    t = np.array(seconds)
    y = t / (1 + t)
    assert _constant(t, watch="weighted") == pytest.approx(t.mean(), rel=1e-5)
    unweighted = _constant(t, watch="unweighted")
    assert unweighted == pytest.approx(y.mean() / (1 - y.mean()), rel=1e-5)
    assert unweighted < 0.5 * t.mean() if t.std() else unweighted == pytest.approx(5.0, rel=1e-5)


def test_the_unweighted_head_prefers_a_sure_five_seconds_to_one_hundred_in_every_tenth_view() -> None:
    sure, rare = np.full(10, 5.0), np.r_[np.zeros(9), 100.0]
    assert rare.mean() > sure.mean()
    assert _constant(rare, watch="weighted") > _constant(sure, watch="weighted")
    assert _constant(rare, watch="unweighted") < 0.03 * _constant(sure, watch="unweighted")


@pytest.mark.parametrize("z", [-80.0, -1.0, 0.0, math.log(1e5), 80.0])
def test_a_day_of_watching_in_float32_costs_what_it_costs_in_float64(z: float) -> None:
    seconds = [0.0, 1e-3, 1.0, 3600.0, 1e5]
    wide = torch.full((1,), z, dtype=torch.float64, requires_grad=True)
    narrow = torch.full((1,), z, requires_grad=True)
    for t in seconds:
        for logit in (wide, narrow):
            logit.grad = None
            label = torch.tensor([[t]])
            head_losses(logit[:, None], label, heads=[WATCH], complete=True).sum().backward()
        found = head_losses(narrow[:, None], torch.tensor([[t]]), heads=[WATCH]).item()
        slow = head_losses(wide[:, None], torch.tensor([[t]]), heads=[WATCH]).item()
        assert math.isfinite(found) and found == pytest.approx(slow, rel=1e-6)
        assert narrow.grad is not None and wide.grad is not None
        # At the optimum the gradient is a difference of two nearly equal terms, each below 1 + t in size.
        size = 1 / (1 + math.exp(-z)) + t / (1 + math.exp(z))
        assert narrow.grad.item() == pytest.approx(wide.grad.item(), abs=4e-6 * size)


def test_half_precision_logits_lose_no_more_than_their_own_rounding() -> None:
    logits, labels = torch.tensor([[7.0]], dtype=torch.bfloat16), torch.tensor([[1e5]])
    found = head_losses(logits, labels, heads=[WATCH])
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(_naive(7.0, 1e5, head=WATCH, watch="weighted"), rel=1e-6)


def test_a_weighted_head_without_weights_and_wrong_shapes_are_refused() -> None:
    z = torch.zeros(3, 1)
    with pytest.raises(ValueError, match="no weight"):
        head_losses(z, z, heads=[LIKE])
    with pytest.raises(ValueError, match="wanted"):
        head_losses(z, torch.zeros(2, 1), heads=[CLICK])
    with pytest.raises(ValueError, match="wanted"):
        head_losses(z, z, heads=[CLICK, CLICK])
    with pytest.raises(ValueError, match="positive"):
        head_losses(z, z, heads=[CLICK], scales=[0.0])


def test_losses_that_were_first_asked_for_in_inference_can_be_trained_on_after() -> None:
    heads, weight = (Head("late", "watch", "l"), Head("like", "binary", "m", weighted=True)), torch.ones(2)
    z, y = torch.zeros(2, 2, requires_grad=True), torch.ones(2, 2)
    with torch.inference_mode():
        head_losses(z, y, heads=heads, weight=weight, scales=[2.0, 1.0])
    head_losses(z, y, heads=heads, weight=weight, scales=[2.0, 1.0]).sum().backward()
    assert z.grad is not None and z.grad.isfinite().all()


def test_estimates_are_probabilities_and_seconds_within_their_range() -> None:
    logits = torch.tensor([[0.0, math.log(30.0), 1.0], [-800.0, -800.0, NAN], [800.0, 800.0, 0.0]])
    found = estimates(logits, heads=(CLICK, WATCH, RATIO))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], [0.5, 30.0, 1 / (1 + math.exp(-1))], rtol=1e-6)
    np.testing.assert_allclose(found[1:], [[0.0, 1e-6, NAN], [1.0, 1e6, 0.5]], rtol=1e-12)
    np.testing.assert_array_equal(found, estimates(logits.numpy(), heads=(CLICK, WATCH, RATIO)))


@pytest.mark.parametrize("watch", ["weighted", "unweighted"])
def test_at_its_start_no_constant_would_do_better_for_any_head(watch: Watch) -> None:
    _, labels, weight = _batch(400)
    means = []
    for t, head in enumerate(MIXED):
        known = ~labels[:, t].isnan().numpy()
        values = targets(labels.numpy(), heads=MIXED, watch=watch)[known, t]
        means.append(np.average(values, weights=weight[known] if head.weighted else None))
    start = start_logits(MIXED, means=means, watch=watch).double().requires_grad_()
    head_losses(start.expand(400, 5), labels, heads=MIXED, weight=weight, watch=watch).sum().backward()
    assert start.grad is not None
    np.testing.assert_allclose(start.grad, 0.0, atol=1e-5)


def test_a_start_is_never_a_certainty_and_a_mean_that_is_none_is_refused() -> None:
    found = start_logits((CLICK, CLICK, WATCH), means=(0.0, 1.0, 0.0), watch="weighted")
    np.testing.assert_allclose(found, [math.log(1e-7), -math.log(1e-7), math.log(1e-6)], rtol=1e-6)
    for head, mean in ((CLICK, NAN), (CLICK, 1.2), (RATIO, -0.1), (WATCH, -1.0)):
        with pytest.raises(ValueError, match=head.name):
            start_logits([head], means=[mean], watch="weighted")
    with pytest.raises(ValueError, match="share"):
        start_logits([WATCH], means=[30.0], watch="unweighted")


def test_scaled_losses_start_with_gradients_of_one_half_for_watch_and_keep_their_optimum() -> None:
    seconds = np.r_[np.zeros(90), np.random.default_rng(2).exponential(40, 10)]
    scales = loss_scales((CLICK, WATCH), means=(0.1, seconds.mean()), deviations=(0.3, seconds.std()), watch="weighted")
    assert scales[0] == 1.0 and scales[1] > 1.0
    labels = torch.tensor(np.stack([seconds > 0, seconds], axis=1))
    z = start_logits((CLICK, WATCH), means=(0.1, seconds.mean()), watch="weighted").double().expand(100, 2)
    z = z.clone().requires_grad_()
    (head_losses(z, labels, heads=(CLICK, WATCH), scales=scales).sum() * 100).backward()
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.pow(2).mean(dim=0).sqrt(), [0.3, 0.5], rtol=1e-5)
    np.testing.assert_allclose(z.grad.mean(dim=0), 0.0, atol=1e-6)
    assert loss_scales([WATCH], means=[0.1], deviations=[0.1], watch="weighted") == (1.0,)
    assert loss_scales([WATCH], means=[0.5], deviations=[99.0], watch="unweighted") == (1.0,)


def test_declared_weights_multiply_the_losses() -> None:
    losses, weights = torch.tensor([0.2, 3.0]), torch.tensor([1.0, 0.5])
    assert total_loss(losses, weights=weights).item() == pytest.approx(1.7)


def test_learnt_weights_follow_the_formula_and_settle_at_one_over_twice_the_loss() -> None:
    losses, weights = torch.tensor([[0.2, 3.0], [1.0, 0.5]], dtype=torch.float64)
    s = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    made = total_loss(losses, weights=weights, log_variances=s)
    assert made.item() == pytest.approx(0.2 * math.exp(-0.3) + 0.15 + 0.5 * (3 * math.exp(0.4) - 0.2), rel=1e-12)
    made.backward()
    assert s.grad is not None
    np.testing.assert_allclose(s.grad, weights * (-losses * torch.exp(-s.detach()) + 0.5), rtol=1e-12)
    best = torch.log(2 * losses).requires_grad_()
    total_loss(losses, weights=weights, log_variances=best).backward()
    assert best.grad is not None
    np.testing.assert_allclose(best.grad, 0.0, atol=1e-15)


def test_a_head_without_labels_in_the_batch_does_not_move_its_learnt_weight() -> None:
    s = torch.tensor([0.3, 0.3], requires_grad=True)
    total_loss(torch.tensor([0.0, 0.7]), weights=torch.ones(2), log_variances=s).backward()
    assert s.grad is not None and s.grad[0] == 0 and s.grad[1] != 0


@pytest.mark.parametrize("case", [Seconds(0.3, 1.5), Seconds(1.0, 0.7), Seconds(0.4, 1.0, "exponential")])
def test_the_derived_bias_is_that_of_many_draws(case: Seconds) -> None:
    seconds = case.sample(400_000, rng=np.random.default_rng(1))
    y = seconds / (1 + seconds)
    error = y.std() / (1 - y.mean()) ** 2 / math.sqrt(len(y))
    assert abs(case.unweighted() - y.mean() / (1 - y.mean())) < 4 * error
    assert abs(case.mean() - seconds.mean()) < 4 * case.mean() * case.variation() / math.sqrt(len(y))
    assert seconds.std() / seconds.mean() == pytest.approx(case.variation(), rel=0.05)


def test_gradient_descent_finds_what_was_derived() -> None:
    seconds = Seconds(0.5, 1.0).sample(2_000, rng=np.random.default_rng(3))
    y = seconds / (1 + seconds)
    assert math.exp(fitted_logit(seconds, watch="weighted")) == pytest.approx(seconds.mean(), rel=1e-5)
    assert math.exp(fitted_logit(seconds, watch="unweighted")) == pytest.approx(y.mean() / (1 - y.mean()), rel=1e-5)


def test_the_weighted_head_is_closer_once_there_are_the_rows_that_are_named() -> None:
    case, rng = Seconds(0.05, 2.0), np.random.default_rng(4)
    rows = case.rows_until_closer()

    def errors(size: int) -> tuple[float, float]:
        seconds = case.sample(size * 20_000, rng=rng).reshape(-1, size)
        odds = (seconds / (1 + seconds)).mean(axis=1)
        odds = odds / (1 - odds)
        return float(np.mean((seconds.mean(axis=1) - 1.5) ** 2)), float(np.mean((odds - 1.5) ** 2))

    weighted, unweighted = errors(round(rows / 3))
    assert weighted > unweighted
    weighted, unweighted = errors(round(rows * 3))
    assert weighted < unweighted


def test_the_page_shows_the_tables_as_the_formulas_give_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "heads.md").read_text(encoding="utf-8")
    for table in (exact_table(), scale_table()):
        assert "\n".join(table) in page
    assert len(CASES) == len(exact_table()) - 2
