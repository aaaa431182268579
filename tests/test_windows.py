"""The window kernel against brute force, without Spark: edges, late events, big codes, wrapping sums."""

import numpy as np
import pytest

from features.axis import make_axis, sort_order
from features.windows import Span, first_seen, last_seen, window_edges, window_sums


def brute(codes, event, visible, values, *, code, as_of, width) -> int:
    inside = (codes == code) & (event >= as_of - width) & (event < as_of) & (visible < as_of)
    return int(values[inside].sum())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spread", [30, 10**13])
def test_window_sums_equal_brute_force_with_late_events(seed, spread):
    rng = np.random.default_rng(seed)
    n, n_codes = 400, 9
    codes = rng.integers(0, n_codes, n)
    event = rng.integers(-spread, spread, n)
    late = rng.choice([0, 0, 0, 1, spread // 5, spread], n)
    visible, values = event + late, rng.integers(-50, 1000, n)
    query_codes = rng.integers(0, n_codes + 2, 300)
    as_of = np.concatenate([rng.integers(-2 * spread, 2 * spread, 100), event[:100], event[100:150] + 1, visible[:50]])
    widths = [1, max(spread // 7, 2), spread]
    as_of[::7] = event[rng.integers(0, n, len(as_of[::7]))] + widths[1]  # exactly at as_of - w
    edges = window_edges(
        codes,
        event,
        visible,
        query_codes=query_codes,
        as_of=as_of,
        spans=[Span(0, w) for w in widths],
        n_codes=n_codes + 2,
    )
    for number, width in enumerate(widths):
        expected = [
            brute(codes, event, visible, values, code=c, as_of=a, width=width)
            for c, a in zip(query_codes, as_of, strict=True)
        ]
        assert window_sums(edges, values, window=number).tolist() == expected


@pytest.mark.parametrize(("offset", "inside"), [(-1, 1), (0, 0), (1, 0)])
def test_an_event_at_as_of_is_outside_the_window(offset, inside):
    at = np.array([1_000_000])
    edges = window_edges(
        np.array([0]),
        at + offset,
        at + offset,
        query_codes=np.array([0]),
        as_of=at,
        spans=[Span(0, w) for w in [10]],
        n_codes=1,
    )
    assert window_sums(edges, np.array([1]), window=0).tolist() == [inside]


@pytest.mark.parametrize(("offset", "inside"), [(-1, 0), (0, 1), (1, 1)])
def test_an_event_at_as_of_minus_w_is_inside_the_window(offset, inside):
    at = np.array([1_000_000])
    moment = at - 10 + offset
    edges = window_edges(
        np.array([0]), moment, moment, query_codes=np.array([0]), as_of=at, spans=[Span(0, w) for w in [10]], n_codes=1
    )
    assert window_sums(edges, np.array([1]), window=0).tolist() == [inside]


def test_an_event_visible_only_after_it_left_the_window_never_counts():
    edges = window_edges(
        np.zeros(1, int),
        np.array([0]),
        np.array([10]),
        query_codes=np.zeros(30, int),
        as_of=np.arange(30),
        spans=[Span(0, w) for w in [10, 11]],
        n_codes=1,
    )
    assert window_sums(edges, np.array([1]), window=0).sum() == 0
    assert np.flatnonzero(window_sums(edges, np.array([1]), window=1)).tolist() == [11]


def test_prefixes_may_wrap_where_the_window_itself_fits():
    values = np.full(5000, 2**52, dtype=np.int64)
    moment = np.arange(5000)
    edges = window_edges(
        np.zeros(5000, int),
        moment,
        moment,
        query_codes=np.array([0]),
        as_of=np.array([5000]),
        spans=[Span(0, w) for w in [3]],
        n_codes=1,
    )
    assert window_sums(edges, values, window=0).tolist() == [3 * 2**52]


def test_no_events_at_all_give_zeros():
    nothing = np.empty(0, dtype=np.int64)
    edges = window_edges(
        nothing,
        nothing,
        nothing,
        query_codes=np.array([0, 1]),
        as_of=np.array([5, 6]),
        spans=[Span(0, w) for w in [2]],
        n_codes=2,
    )
    assert window_sums(edges, nothing, window=0).tolist() == [0, 0]
    assert last_seen(edges, nothing, nothing, present=nothing.astype(bool))[1].tolist() == [False, False]


@pytest.mark.parametrize("seed", range(5))
def test_last_seen_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = 200
    codes, event = rng.integers(0, 6, n), rng.integers(0, 500, n)
    visible = event + rng.choice([0, 0, 40], n)
    present = rng.random(n) < 0.7
    query_codes, as_of = rng.integers(0, 7, 150), rng.integers(-10, 600, 150)
    edges = window_edges(
        codes, event, visible, query_codes=query_codes, as_of=as_of, spans=[Span(0, w) for w in [1]], n_codes=7
    )
    last, found = last_seen(edges, codes, event, present=present)
    for i, (code, at) in enumerate(zip(query_codes, as_of, strict=True)):
        seen = event[(codes == code) & (visible < at) & present]
        assert found[i] == bool(len(seen))
        assert not len(seen) or last[i] == seen.max()


def test_sort_order_is_stable_for_small_and_for_huge_numbers():
    for packed in (np.array([3, 1, 3, 0, 1]), np.array([3, 1, 3, 0, 1]) * 2**58):
        assert sort_order(packed).tolist() == [3, 1, 4, 0, 2]


def test_an_axis_that_does_not_fit_beside_the_codes_uses_ranks():
    times = np.array([0, 2**50, 5])
    assert make_axis(times, codes=2**20).ticks is not None
    assert make_axis(times, codes=2).ticks is None


def test_first_seen_of_a_code_without_events_is_never():
    assert first_seen(np.array([0, 0]), np.array([7, 5]), n_codes=2).tolist() == [5, np.iinfo(np.int64).max]
