"""Metrics against brute force over all pairs, all orders, or the whole at once."""

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics import bench
from trainer.metrics import (
    Accumulator,
    Gauc,
    auc,
    binary_metrics,
    correlation,
    gauc,
    log_loss,
    ndcg_at_k,
    normalised_entropy,
    ordering,
    pcoc,
)


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


def test_a_group_with_weight_on_one_class_only_is_skipped_and_counted() -> None:
    found = gauc([1, 0, 1, 0], [0.9, 0.1, 0.1, 0.9], groups=[7, 7, 8, 8], weights=[1, 0, 2, 1])
    assert found == Gauc(0.0, 1, 1)


@pytest.mark.parametrize("metric", [auc, log_loss, normalised_entropy, pcoc])
def test_a_row_without_a_label_counts_nowhere_whatever_its_score_and_weight(metric) -> None:
    y, s, w = [1, 0, 0, 1], [0.9, 0.2, 0.5, 0.4], [1.0, 10.0, 10.0, 1.0]
    nan = float("nan")
    assert metric([*y, nan, nan], [*s, 0.9, nan], weights=[*w, 5.0, nan]) == metric(y, s, weights=w)


def test_gauc_passes_over_the_groups_of_rows_without_a_label() -> None:
    assert gauc([1, 0, float("nan")], [0.9, 0.2, 0.1], groups=[1, 1, 2]) == Gauc(1.0, 1, 0)


@pytest.mark.parametrize("metric", [auc, log_loss, normalised_entropy, pcoc])
def test_no_rows_have_no_metric(metric) -> None:
    assert math.isnan(metric([], [])) and math.isnan(metric([float("nan")], [0.5]))
    assert math.isnan(metric([1, 0], [0.5, 0.5], weights=[0, 0]))


def test_normalised_entropy_is_one_for_the_mean_and_its_definition_otherwise() -> None:
    y, p, w = np.array([1, 0, 0, 1]), np.array([0.9, 0.2, 0.5, 0.6]), np.array([1.0, 10.0, 10.0, 1.0])
    mean = 2 / 22
    entropy = -(mean * math.log(mean) + (1 - mean) * math.log(1 - mean))
    assert normalised_entropy(y, p, weights=w) == pytest.approx(log_loss(y, p, weights=w) / entropy, abs=1e-12)
    assert normalised_entropy(y, np.full(4, mean), weights=w) == pytest.approx(1, abs=1e-12)
    assert math.isnan(normalised_entropy([1, 1], [0.5, 0.6]))


@pytest.mark.parametrize(
    "scores",
    [
        [-0.0, 0.0, 0.0, -0.0],
        [1.0, 1.0 + 2**-52, 1.0 - 2**-53, 1.0],
        [-1e300, 5e-324, -5e-324, 1e300],
        [0.1, np.float32(0.1), 0.1, 0.2],
    ],
)
def test_scores_tie_exactly_where_they_are_equal_numbers(scores) -> None:
    y = np.array([1, 0, 1, 0])
    assert auc(y, scores) == _brute_auc(y, np.array(scores), w=np.ones(4))


@pytest.mark.parametrize("kind", ["int8", "int32", "uint64"])
def test_a_group_may_be_any_whole_number(kind) -> None:
    ends = [np.iinfo(kind).min, np.iinfo(kind).max, np.iinfo(kind).max - 1]
    groups = np.array(ends * 2, dtype=kind)
    assert gauc([1, 1, 0, 0, 0, 1], [0.9, 0.1, 0.1, 0.2, 0.2, 0.2], groups=groups) == Gauc(2 / 3, 3, 0)


def test_hashed_groups_of_more_rows_than_a_block_equal_each_groups_own_auc(monkeypatch) -> None:
    monkeypatch.setattr(ordering, "_BLOCK_ROWS", 64)
    rng = np.random.default_rng(3)
    n = 3000
    ids = rng.integers(-(2**62), 2**62, 40)
    g = ids[np.minimum(rng.geometric(0.2, n) - 1, 39)]
    s, y, w = rng.integers(0, 50, n) / 7, rng.integers(0, 2, n), rng.uniform(0, 3, n)
    own = [(auc(y[g == i], s[g == i], weights=w[g == i]), w[g == i].sum()) for i in np.unique(g)]
    known = [(value, size) for value, size in own if not math.isnan(value)]
    found = gauc(y, s, groups=g, weights=w)
    mean = sum(value * size for value, size in known) / sum(size for _, size in known)
    assert found.value == pytest.approx(mean, abs=1e-12)
    assert (found.groups, found.skipped) == (len(known), len(own) - len(known))


@pytest.mark.parametrize("bad", [{"groups": [1, 2, 3]}, {"groups": [0.5, 1.5]}, {"groups": [1, 1], "weights": [1, -1]}])
def test_wrong_groups_and_weights_are_refused(bad) -> None:
    with pytest.raises(ValueError, match="metrics"):
        gauc([0, 1], [0.1, 0.2], **bad)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_by_several_keys_is_that_of_lexsort(seed) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    wide, few = rng.integers(-(2**63), 2**63 - 1, n), rng.integers(0, 3, n)
    real = rng.choice([rng.normal(size=n), rng.integers(-3, 3, n) / 4, np.zeros(n)])
    found = ordering.stable_order(
        ordering.integer_keys(few), ordering.float_keys(real, descending=True), ordering.integer_keys(wide)
    )
    np.testing.assert_array_equal(found, np.lexsort((wide, -real, few)))


def _brute_dcg(gains: list[float], k: int) -> float:
    return sum(g / math.log2(rank + 2) for rank, g in enumerate(gains[:k]))


def _brute_ndcg(y: np.ndarray, s: np.ndarray, *, k: int) -> float:
    """Mean DCG over every order of the rows in which the scores do not rise, over the best DCG."""
    orders = [o for o in itertools.permutations(range(len(y))) if all(s[a] >= s[b] for a, b in itertools.pairwise(o))]
    mean = sum(_brute_dcg([y[i] for i in o], k) for o in orders) / len(orders)
    best = _brute_dcg(sorted(y, reverse=True), k)
    return mean / best if best else float("nan")


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_ndcg_is_the_mean_over_every_order_of_tied_rows(k) -> None:
    rng = np.random.default_rng(k)
    requests = rng.permutation(np.repeat(np.arange(12) * 5 - 7, 6))
    y, s = rng.choice([0, 0, 0, 1, 2.5], 72), rng.integers(0, 3, 72) / 2
    y[requests == -7] = 0
    own = [_brute_ndcg(y[requests == r], s[requests == r], k=k) for r in np.unique(requests)]
    found = ndcg_at_k(y, s, requests=requests, k=k)
    assert found.value == pytest.approx(np.nanmean(own), abs=1e-12)
    assert (found.requests, found.skipped) == (12 - np.isnan(own).sum(), np.isnan(own).sum()) and found.skipped > 0


def test_ndcg_is_one_in_the_best_order_and_without_gain_there_is_none() -> None:
    assert ndcg_at_k([3, 1, 0, 2], [0.9, 0.5, 0.1, 0.7], requests=[1] * 4, k=3).value == pytest.approx(1, abs=1e-12)
    nothing = ndcg_at_k([0, 0, float("nan")], [0.1, 0.2, 0.3], requests=[1, 2, 3], k=3)
    assert math.isnan(nothing.value) and (nothing.requests, nothing.skipped) == (0, 2)
    assert math.isnan(ndcg_at_k([], [], requests=[], k=1).value)


def test_a_weight_of_two_takes_two_ranks_and_one_of_nought_takes_none() -> None:
    twice = ndcg_at_k([1, 0, 0, 2, 2, 1], [5, 4, 4, 3, 3, 2], requests=[1] * 6, k=4)
    weighed = ndcg_at_k([1, 0, 2, 1, 9], [5, 4, 3, 2, 9], requests=[1] * 5, k=4, weights=[1, 2, 2, 1, 0])
    assert weighed.value == pytest.approx(twice.value, abs=1e-12) and twice.value < 1


@pytest.mark.parametrize("bad", [{"k": 0}, {"gains": [-1, 0]}, {"scores": [float("inf"), 0]}])
def test_wrong_ndcg_arguments_are_refused(bad) -> None:
    given = {"gains": [1, 0], "scores": [0.1, 0.2], "k": 1} | bad
    with pytest.raises(ValueError, match="found"):
        ndcg_at_k(given["gains"], given["scores"], requests=[1, 1], k=given["k"])


def test_binary_metrics_are_those_of_the_rows_with_a_label() -> None:
    y = np.array([1, 0, np.nan, 1, 0, np.nan], dtype=np.float32)
    s, w = np.array([0.9, 0.2, 0.7, 0.4, 0.6, 0.1]), np.array([1.0, 10.0, 3.0, 1.0, 10.0, 2.0])
    users = np.array([1, 1, 1, 2, 2, 3])
    known = ~np.isnan(y)
    found = binary_metrics(y, s, weights=w, users=users)
    y, s, w = y[known], s[known], w[known]
    assert (found.rows, found.missing, found.positives, found.gauc_request) == (4, 2, 2.0, None)
    assert found.rate == pytest.approx(2 / 22) and found.gauc_user == gauc(y, s, groups=users[known], weights=w)
    assert (found.auc, found.log_loss) == (auc(y, s, weights=w), log_loss(y, s, weights=w))
    assert (found.normalised_entropy, found.pcoc) == (normalised_entropy(y, s, weights=w), pcoc(y, s, weights=w))


def test_binary_metrics_of_no_rows_are_undefined() -> None:
    found = binary_metrics([], [], users=[], requests=[])
    assert (found.rows, found.missing, found.positives) == (0, 0, 0.0)
    assert all(math.isnan(value) for value in (found.rate, found.auc, found.log_loss, found.pcoc))


_COLUMNS = {"label": "label", "score": "float32", "weight": "float64", "user": "int64"}


def _chunk(n: int, *, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "label": rng.choice([0, 1, np.nan], n).astype(np.float32),
        "score": rng.integers(0, 8, n) / 8,
        "weight": rng.choice([1.0, 10.0], n),
        "user": rng.integers(0, 2**60, 5)[rng.integers(0, 5, n)] if n else np.empty(0, dtype=np.int64),
        "other": np.zeros(n),
    }


def test_chunks_of_two_workers_give_the_metrics_of_the_whole_and_not_a_mean_of_means() -> None:
    chunks = [_chunk(n, seed=n) for n in (40, 0, 1, 300, 7)]
    one, two = Accumulator(_COLUMNS), Accumulator(_COLUMNS)
    for n, chunk in enumerate(chunks):
        (one if n < 2 else two).add(chunk)
    one.column("score")  # looking early changes nothing
    one.merge(two)
    whole = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in _COLUMNS}
    for name, cells in whole.items():
        np.testing.assert_array_equal(one.column(name), cells)
    found = binary_metrics(
        one.column("label"), one.column("score"), weights=one.column("weight"), users=one.column("user")
    )
    expected = binary_metrics(whole["label"], whole["score"], weights=whole["weight"], users=whole["user"])
    assert found == expected and (one.rows, two.rows) == (348, 308)
    batches = [auc(c["label"], c["score"], weights=c["weight"]) for c in chunks]
    assert abs(np.nanmean(batches) - found.auc) > 1e-3


def test_an_accumulator_holds_what_it_says_and_copies_what_it_is_given() -> None:
    kept = Accumulator({"labels": "label", "logits": "float32", "weight": "float64"})
    weight = np.ones(10)
    rows: dict[str, Any] = {"labels": np.ones((10, 5), dtype=np.float32), "logits": np.ones((10, 5)), "weight": weight}
    assert kept.row_bytes == 0 and kept.column("labels").dtype == np.float32
    kept.add(rows)
    weight[:] = 7
    assert kept.row_bytes == 5 * 1 + 5 * 4 + 8 and kept.column("weight").tolist() == [1.0] * 10
    assert kept.column("logits").dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        {"label": [0.5, 1]},
        {"label": [2, 1]},
        {"label": [-1, 1]},
        {"user": [0.5, 1]},
        {"user": [float("nan"), 1]},
        {"score": [0.1]},
        {"score": [[0.1], [0.2]]},
        {"score": 0.5},
    ],
)
def test_a_chunk_that_does_not_fit_is_refused_and_leaves_the_rows_as_they_were(change: dict[str, Any]) -> None:
    kept = Accumulator({"label": "label", "score": "float32", "user": "int64"})
    good: dict[str, Any] = {"label": [1, float("nan")], "score": [0.1, 0.2], "user": [3, 4]}
    kept.add(good)
    with pytest.raises(ValueError, match="Accumulator"):
        kept.add(good | change)
    assert kept.rows == 2 and kept.column("score").shape == (2,) and kept.column("user").tolist() == [3, 4]


def test_accumulators_of_other_columns_or_widths_do_not_merge() -> None:
    one, two = Accumulator({"a": "int8"}), Accumulator({"a": "int8"})
    one.add({"a": [1]})
    two.add({"a": [[1, 2]]})
    for other in (two, Accumulator({"a": "int16"})):
        with pytest.raises(ValueError, match="Accumulator"):
            one.merge(other)
    with pytest.raises(ValueError, match="no column a"):
        one.add({"b": [1]})


def test_the_benchmark_finds_its_peer_and_all_pairs_equal(tmp_path) -> None:
    out = tmp_path / "result.json"
    asked = ["--scale", "tiny", "--rounds", "1", "--contenders", "headrace,duckdb"]
    assert bench([*asked, "--work", str(tmp_path), "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["checks"] == {
        "headrace = duckdb, to 1e-9": True,
        "all pairs of every user, 20,000 rows, to 1e-12": True,
    }
    assert {"duckdb / headrace", "duckdb / headrace, CPU", "GAUC, s"} <= set(result["ratios"]) and not result["targets"]
