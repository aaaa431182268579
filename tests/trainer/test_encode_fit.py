"""Fitting: edges that equal numpy's, vocabularies by count, and moments, in pieces of any size."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.config.training import Encoding
from headrace.errors import InputError
from trainer.encode import Buckets, Encoder, Fitter, Vocabulary, fit
from trainer.encode.tallies import NumberTally, WholeTally, WordTally, quantile_edges
from trainer.moments import Moments
from trainer.published import FeatureSpec


def _rule(kind: str, *features: str, **options: Any) -> Encoding:
    return Encoding.model_validate({"features": features, "as": kind, **options})


def _field(encoder: Encoder, name: str) -> Any:
    return next(field for field in (*encoder.categories, *encoder.numbers) if field.name == name)


RULES = (
    _rule("buckets", "score", buckets=10), _rule("buckets", "plays", buckets=8), _rule("vocabulary", "age", min_count=2),
    _rule("vocabulary", "city", min_count=9), _rule("number", "raw", standardise=False),
)  # fmt: skip
TYPES = {"score": "double", "plays": "bigint", "age": "int", "city": "string", "raw": "double", "rate": "double",
         "seen_s": "double"}  # fmt: skip
ORDER = [*TYPES]


def _rows(count: int, *, seed: int = 3) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.choice([-0.0, 0.0, -1.5, math.nan, math.inf, *rng.normal(size=40)], count)
    columns = {
        "score": pa.array(score, pa.float64(), mask=rng.random(count) < 0.1),
        "plays": pa.array(rng.poisson(1.2, count), mask=rng.random(count) < 0.1),
        "age": pa.array(rng.integers(0, 90, count).astype(np.int32), mask=rng.random(count) < 0.1),
        "city": pa.array(rng.choice([None, *"abcdefg"], count, p=[0.1, 0.3, 0.3, 0.1, 0.1, 0.05, 0.04, 0.01])),
        "raw": pa.array(rng.normal(9, 3, count)),
        "rate": pa.array(np.where(rng.random(count) < 0.1, math.nan, rng.random(count))),
        "seen_s": pa.array(rng.exponential(1e5, count)),
    }
    states = rng.choice(6, size=(count, len(ORDER)), p=[0.6, 0.1, 0.1, 0, 0.1, 0.1]).astype(np.uint8)
    return pa.table(columns | {"feature_states": pa.array([row.tobytes() for row in states], pa.binary())})


def _fitted(rows: pa.Table, *, pieces: int) -> tuple[Encoder, dict[str, int]]:
    features = [FeatureSpec(name, kind, "s" if name == "seen_s" else "", "group:g") for name, kind in TYPES.items()]
    fitter = Fitter(features, present=set(TYPES), rules=RULES, hash_buckets=100)
    for start in range(0, len(rows), pieces):
        fitter.add(rows.slice(start, pieces), ORDER)
    return fitter.finish(), fitter.broken


def _measured(rows: pa.Table, name: str) -> list:
    """Values that are there and were not filled in."""
    at = ORDER.index(name)
    pairs = zip(rows[name].to_pylist(), (states[at] for states in rows["feature_states"].to_pylist()), strict=True)
    good = [value for value, state in pairs if value is not None and state not in (2, 5)]
    return [value for value in good if isinstance(value, str) or math.isfinite(value)]


def test_quantile_edges_equal_numpys_on_the_measured_cells() -> None:
    rows = _rows(3000)
    made, _ = _fitted(rows, pieces=3000)
    for name, buckets in (("score", 10), ("plays", 8)):
        values = np.array(_measured(rows, name), dtype=np.float64)
        edges = np.quantile(values, np.arange(1, buckets) / buckets, method="inverted_cdf")
        assert _field(made, name).edges == tuple(np.unique(edges).tolist())
        assert _field(made, name).exact
    assert len(_field(made, "plays").edges) < 7  # few different counts: edges fell together


def test_edges_of_any_number_of_rows_equal_numpys_bit_by_bit() -> None:
    rng = np.random.default_rng(5)
    for count in [1, 2, 3, 7, 10, 64, 999]:
        for values in (rng.normal(size=count), rng.integers(0, 4, count) / 3, 10.0 ** rng.uniform(-300, 300, count)):
            tally = NumberTally("x")
            tally.add(values)
            for buckets in [2, 3, 7, 10, 100]:
                edges = quantile_edges(*tally.counted(), buckets=buckets)
                wanted = np.quantile(values, np.arange(1, buckets) / buckets, method="inverted_cdf")
                assert edges.tobytes() == np.unique(wanted).tobytes()


def test_vocabulary_takes_values_by_falling_count_and_then_by_value() -> None:
    rows = _rows(500)
    made, _ = _fitted(rows, pieces=500)
    for name, least in (("age", 2), ("city", 9)):
        counts = Counter(_measured(rows, name))
        kept = sorted((value for value in counts if counts[value] >= least), key=lambda v: (-counts[v], v))
        assert list(_field(made, name).values) == kept and len(kept) < len(counts)
    assert type(_field(made, "age").values[0]) is int


def test_moments_are_of_the_measured_cells_after_the_logarithm() -> None:
    rows = _rows(2000)
    made, broken = _fitted(rows, pieces=2000)
    rate, seen = np.array(_measured(rows, "rate")), np.log1p(_measured(rows, "seen_s"))
    assert (_field(made, "rate").mean, _field(made, "rate").std) == pytest.approx((rate.mean(), rate.std()), rel=1e-12)
    assert (_field(made, "seen_s").mean, _field(made, "seen_s").std) == pytest.approx(
        (seen.mean(), seen.std()), rel=1e-12
    )
    assert (_field(made, "raw").mean, _field(made, "raw").std) == (0.0, 1.0)
    nans = {name: sum(v is not None and not math.isfinite(v) for v in rows[name].to_pylist()) for name in broken}
    assert broken == nans and broken["rate"] > 100 and broken["score"] > 50
    assert set(broken) == {"score", "plays", "raw", "rate", "seen_s"}


def test_rows_in_pieces_of_any_size_fit_the_same_encoder_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_BLOCK", 64)
    rows = _rows(1200)
    whole, broken = _fitted(rows, pieces=1200)
    chunked = pa.concat_tables([rows.slice(0, 5), rows.slice(5, 850), rows.slice(855)])
    for pieces, given in ((1000, rows), (7, rows), (1, rows), (1200, chunked)):
        assert _fitted(given, pieces=pieces) == (whole, broken)


def test_nothing_measured_leaves_the_fields_as_they_are() -> None:
    made, _ = _fitted(_rows(0), pieces=1)
    assert _field(made, "score") == Buckets("score", 10) and _field(made, "city") == Vocabulary("city", min_count=9)
    assert (_field(made, "rate").mean, _field(made, "rate").std) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "cells", "found"),
    [("city", pa.array([1]), "int64"), ("age", pa.array([1.5]), "double"), ("plays", pa.array(["1"]), "string")],
)
def test_column_of_another_type_than_declared_is_refused(name: str, cells: pa.Array, found: str) -> None:
    rows = _rows(1)
    with pytest.raises(InputError, match=rf"{name}\n  found:  a column of {found}"):
        _fitted(rows.set_column(rows.column_names.index(name), name, cells), pieces=1)


def test_numbers_too_large_to_be_standardised_are_refused_and_their_logarithms_are_not() -> None:
    huge = pa.array([1.7e308, -1.7e308, 0.0])
    rows = _rows(3).drop_columns(["feature_states"])
    rows = rows.append_column("feature_states", pa.array([bytes(len(ORDER))] * 3, pa.binary()))
    logs = rows.set_column(rows.column_names.index("seen_s"), "seen_s", huge)
    assert _field(_fitted(logs, pieces=3)[0], "seen_s").std == pytest.approx(math.log(1.7e308) * math.sqrt(2 / 3))
    with pytest.raises(InputError, match="rate\n  found:  numbers beyond 1e150"):
        _fitted(rows.set_column(rows.column_names.index("rate"), "rate", huge), pieces=3)


def _tallied(tally: Any, parts: Sequence) -> Any:
    for part in parts:
        tally.add(part)
    return tally


def test_numbers_beyond_the_limit_are_counted_within_the_bound_that_is_told() -> None:
    values = np.random.default_rng(1).normal(size=200_000) ** 3
    tally = _tallied(NumberTally("x", limit=1 << 13), [values])
    edges = quantile_edges(*tally.counted(), buckets=64)
    wanted = np.quantile(values, np.arange(1, 64) / 64, method="inverted_cdf")
    assert len(tally.counted()[0]) <= 1 << 13 and 0 < tally.error < 0.01
    assert (edges <= wanted).all() and (wanted - edges <= tally.error * np.abs(wanted)).all() and (edges < wanted).any()
    assert np.isin(edges, values).all() and tally.counted()[1].sum() == 200_000


def test_numbers_beyond_the_limit_do_not_depend_on_order_or_pieces() -> None:
    values = np.random.default_rng(2).normal(size=150_000)
    one = _tallied(NumberTally("x", limit=3000), [values])
    other = _tallied(NumberTally("x", limit=3000), np.array_split(values[::-1], 41))
    assert all(np.array_equal(a, b) for a, b in zip(one.counted(), other.counted(), strict=True))
    assert one.error == other.error


def test_the_two_zeros_are_one_value() -> None:
    values, counts = _tallied(NumberTally("x"), [np.array([-0.0, 0.0] * 50)]).counted()
    assert (values.tobytes(), counts.tolist()) == (np.zeros(1).tobytes(), [100])


def test_vocabulary_beyond_the_limit_is_refused_with_the_remedy() -> None:
    for tally, cells in ((WholeTally("x", limit=3), np.arange(4)), (WordTally("x", limit=3), pa.array([*"abcd"]))):
        with pytest.raises(InputError, match=r"more than 3 different values(.|\n)*features: \[x\], as: hash"):
            _tallied(tally, [cells]).ranked(1)


def test_whole_numbers_are_counted_exactly_at_the_ends_of_their_range() -> None:
    tally = _tallied(WholeTally("x"), [np.array([2**63 - 1, -(2**63)]), np.array([2**63 - 1, 2**53 + 1])])
    assert tally.ranked(1) == (2**63 - 1, -(2**63), 2**53 + 1) and tally.ranked(2) == (2**63 - 1,)


def test_moments_merged_batch_by_batch_equal_numpys() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1e6, 1.0, (1000, 3))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 2] = np.nan
    moments = Moments.empty(3)
    for part in np.array_split(values, [1, 10, 500]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean[:2], np.nanmean(values[:, :2], axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.std()[:2], np.nanstd(values[:, :2], axis=0), rtol=1e-9)
    assert moments.std()[2] == 1.0


def test_column_that_does_not_vary_is_not_divided_by_its_rounding_error() -> None:
    moments = Moments.empty(1)
    moments.add(np.full((1000, 1), 0.1))
    moments.add(np.full((77, 1), 0.1))
    assert moments.std().tolist() == [1.0]
