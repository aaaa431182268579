"""Bins and segments sum to the whole, and each is what its own rows say."""

import math
from itertools import pairwise

import numpy as np
import pytest

from trainer.metrics import pcoc, pcoc_by_segment, reliability

NAN = float("nan")


def _world(n: int, *, seed: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores of so many values, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, levels, n) / levels
    return (rng.random(n) < p).astype(float), p, rng.choice([0.0, 1.0, 2.5, 10.0], n)


@pytest.mark.parametrize("levels", [1, 3, 50, 10**9])
@pytest.mark.parametrize("bins", [1, 4, 10])
def test_bins_are_apart_and_sum_to_the_whole(levels: int, bins: int) -> None:
    y, p, w = _world(700, seed=levels % 97 + bins, levels=levels)
    found = reliability(y, p, weights=w, bins=bins)
    assert 1 <= len(found) <= bins and (levels < 10**9 or len(found) == bins)
    assert sum(b.rows for b in found) == 700 and sum(b.positives for b in found) == y.sum()
    assert sum(b.weight for b in found) == pytest.approx(w.sum(), abs=1e-9)
    assert sum(b.weight * b.predicted for b in found) == pytest.approx(np.dot(w, p), abs=1e-9)
    assert sum(b.weight * b.actual for b in found) == pytest.approx(np.dot(w, y), abs=1e-9)
    assert all(a.most < b.least for a, b in pairwise(found))


def test_each_bin_is_what_its_own_rows_say() -> None:
    y, p, w = _world(500, seed=1, levels=40)
    for b in reliability(y, p, weights=w, bins=5):
        own = (p >= b.least) & (p <= b.most)
        assert (b.rows, b.positives) == (own.sum(), y[own].sum())
        assert b.actual == pytest.approx(np.average(y[own], weights=w[own]), abs=1e-12)
        assert b.predicted == pytest.approx(np.average(p[own], weights=w[own]), abs=1e-12)
        assert b.pcoc == pytest.approx(pcoc(y[own], p[own], weights=w[own]), abs=1e-12)


def test_bins_of_scores_without_ties_have_equal_weight_and_not_equal_rows() -> None:
    p = np.arange(1, 101) / 101
    found = reliability(np.zeros(100), p, weights=np.where(p > 0.5, 9.0, 1.0), bins=5)
    assert [b.weight for b in found] == pytest.approx([100] * 5, abs=9)
    assert found[0].rows > 55 and found[-1].rows < 13


def test_bins_do_not_depend_on_the_order_of_rows() -> None:
    y, p, _ = _world(300, seed=2, levels=16)
    w = np.random.default_rng(2).choice([1.0, 4.0], 300)
    shuffled = np.random.default_rng(3).permutation(300)
    assert reliability(y, p, weights=w) == reliability(y[shuffled], p[shuffled], weights=w[shuffled])


def test_scores_without_weight_have_no_bin_of_their_own() -> None:
    found = reliability([1, 0, 1, 0, 1], [0.1, 0.2, 0.5, 0.8, 0.9], weights=[0, 5, 0, 5, 0], bins=10)
    assert [(b.rows, b.weight) for b in found] == [(3, 5.0), (2, 5.0)]


def test_rows_without_a_label_are_in_no_bin_and_no_segment() -> None:
    found = reliability([NAN, 1, 0], [NAN, 0.5, 0.6], weights=[7, 1, 1], bins=1)
    assert (found[0].rows, found[0].weight) == (2, 2.0)
    parts = pcoc_by_segment([NAN, 1, 0], [0.1, 0.5, 0.6], segments=[5, 1, 1])
    assert [(part.value, part.rows) for part in parts] == [("1", 2)]


def test_no_rows_and_no_weight_have_no_bins_and_no_positives_no_pcoc() -> None:
    assert reliability([], []) == [] and reliability([NAN], [0.5]) == [] and pcoc_by_segment([], [], segments=[]) == []
    assert reliability([1, 0], [0.1, 0.2], weights=[0, 0]) == []
    assert math.isnan(reliability([0, 0], [0.1, 0.1])[0].pcoc)


@pytest.mark.parametrize(("positives", "rows"), [(0, 20), (3, 20), (20, 20), (81, 263)])
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_the_interval_of_equal_weights_is_wilsons(positives: int, rows: int, weight: float) -> None:
    y = np.arange(rows) < positives
    found = reliability(y, np.full(rows, 0.5), weights=np.full(rows, weight), bins=1)[0]
    z, p = 1.959963984540054, positives / rows
    # Wilson's ends are the two shares q that lie z standard errors, of q itself, away from p.
    for q in (found.low, found.high):
        assert (p - q) ** 2 == pytest.approx(z * z * q * (1 - q) / rows, abs=1e-9)
    assert 0 <= found.low <= p <= found.high <= 1 and found.low < found.high


def test_wilsons_interval_of_81_of_263_is_the_published_one() -> None:
    found = reliability(np.arange(263) < 81, np.full(263, 0.5), bins=1)[0]  # Newcombe 1998, table I
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_interval_holds_the_true_rate_95_times_in_100_under_a_sampling_of_negatives() -> None:
    rng = np.random.default_rng(8)
    held, width = 0, 0.0
    for _ in range(600):
        y = rng.random(4000) < 0.05
        kept = y | (rng.random(4000) < 0.1)
        found = reliability(y[kept], np.full(kept.sum(), 0.5), weights=np.where(y, 1.0, 10.0)[kept], bins=1)[0]
        held += found.low <= 0.05 <= found.high
        width += (found.high - found.low) / 600
    assert 0.93 <= held / 600 <= 0.97
    assert width < 0.02  # of the traffic itself it would be 0.0135, of rows counted by weight alone (Kish) 0.042


def test_segments_are_what_their_own_rows_say_the_heaviest_first() -> None:
    y, p, w = _world(400, seed=4, levels=30)
    codes = np.random.default_rng(4).choice([-1, 0, 1, 2], 400, p=[0.1, 0.2, 0.6, 0.1])
    found = pcoc_by_segment(y, p, segments=codes, names=["note", "video", "live"], weights=w)
    assert {part.value for part in found} == {"note", "video", "live", "(null)"} and found[0].value == "video"
    assert [part.weight for part in found] == sorted((part.weight for part in found), reverse=True)
    for part in found:
        own = codes == {"note": 0, "video": 1, "live": 2, "(null)": -1}[part.value]
        assert (part.rows, part.positives) == (own.sum(), y[own].sum())
        assert part.predicted == pytest.approx(np.average(p[own], weights=w[own]), abs=1e-12)
        assert part.actual == pytest.approx(np.average(y[own], weights=w[own]), abs=1e-12)
        assert part.pcoc == pytest.approx(pcoc(y[own], p[own], weights=w[own]), abs=1e-12)
        alone = reliability(y[own], p[own], weights=w[own], bins=1)[0]
        assert (part.low, part.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


def test_segments_past_the_cap_are_put_together_as_if_they_were_one() -> None:
    y, p, w = _world(400, seed=5, levels=30)
    codes = np.minimum(np.random.default_rng(5).geometric(0.3, 400), 9) * 1000
    every = pcoc_by_segment(y, p, segments=codes, weights=w)
    found = pcoc_by_segment(y, p, segments=codes, weights=w, most=3)
    assert len(every) > 5 and found[:3] == every[:3] and [part.value for part in found[3:]] == ["(other)"]
    rest = ~np.isin(codes, [int(part.value) for part in every[:3]])
    alone = reliability(y[rest], p[rest], weights=w[rest], bins=1)[0]
    for name in ("rows", "weight", "positives", "predicted", "actual", "low", "high", "pcoc"):
        assert getattr(found[3], name) == pytest.approx(getattr(alone, name), abs=1e-9)


@pytest.mark.parametrize(
    "bad", [{"segments": [0, 3]}, {"segments": [0]}, {"segments": [0.5, 1.0]}, {"segments": [0, 1], "most": 0}]
)
def test_wrong_segments_are_refused(bad) -> None:
    with pytest.raises(ValueError, match="found"):
        pcoc_by_segment([0, 1], [0.1, 0.2], names=["a", "b"], **bad)
    with pytest.raises(ValueError, match="bins"):
        reliability([0, 1], [0.1, 0.2], bins=0)
