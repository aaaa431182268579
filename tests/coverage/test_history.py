"""How far a day is from the days before it: nothing moves, nothing is said to move; and what moves is measured."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from headrace.config import Feature
from reports.count import Chunk, count_chunk
from reports.drift import aligned_bins, difference_interval, psi_js
from reports.history import Seen, history_columns
from reports.parts import merge
from reports.rows import KEPT_TEXTS

DAY = date(2024, 5, 8)
ROWS = 40_000
WORD, NUMBER = Feature("word", "string", "", "context", None, ""), Feature("x", "double", "", "group:user", None, "")


def _parts(feature: Feature, values: list, day: date, *, covered: float = 1.0) -> pa.Table:
    states = np.where(np.arange(len(values)) < covered * len(values), 0, 3).astype(np.uint8)[None]
    weights = np.ones(len(values))
    chunk = Chunk((day - date(1970, 1, 1)).days, states, weights, lambda _: pa.array(values))
    (table,) = count_chunk(chunk, [feature], [])
    return merge(table, np.zeros(1, np.int64), most_texts=KEPT_TEXTS)


def _against(feature: Feature, now: list, before: list, **over: float) -> dict:
    days = {
        DAY: _parts(feature, now, DAY, **over),
        DAY - timedelta(days=1): _parts(feature, before, DAY - timedelta(days=1)),
    }
    (row,) = history_columns(Seen(days, {}), DAY, reference_days=7).to_pylist()
    return row


@pytest.mark.parametrize("texts", [5, 60, 100, 400])
def test_texts_that_do_not_move_have_no_drift_however_many(texts: int) -> None:
    rng = np.random.default_rng(texts)
    now, before = ([f"t{n}" for n in rng.integers(0, texts, ROWS)] for _ in range(2))
    row = _against(WORD, now, before)
    assert row["psi"] < 0.03 and row["js"] < 0.01


def test_a_text_that_comes_and_one_that_goes_are_seen() -> None:
    row = _against(WORD, ["a"] * 700 + ["new"] * 300, ["a"] * 700 + ["old"] * 300)
    assert row["psi"] > 1 and row["js"] == pytest.approx(0.3)


def test_numbers_that_move_are_seen_and_those_that_do_not_are_not() -> None:
    rng = np.random.default_rng(1)
    here, there = (rng.lognormal(1, 1, ROWS).tolist() for _ in range(2))
    still, moved = _against(NUMBER, here, there), _against(NUMBER, [2 * value for value in here], there)
    assert still["psi"] < 0.005 and moved["psi"] > 0.25


def test_parts_hold_a_tenth_of_the_reference_each() -> None:
    codes = np.arange(1, 101)
    now, before = aligned_bins(codes, np.ones(100), codes, np.ones(100))
    assert before[before > 0].tolist() == [10.0] * 10 and now.tolist() == before.tolist()


def test_psi_is_its_formula() -> None:
    psi, js = psi_js(np.array([30.0, 70.0]), np.array([50.0, 50.0]))
    assert psi == pytest.approx(-0.2 * np.log(0.6) + 0.2 * np.log(1.4))
    assert js is not None and 0 < js < 1
    assert psi_js(np.zeros(2), np.ones(2)) == (None, None)


def test_the_interval_is_that_of_newcombe() -> None:
    change, low, high = difference_interval(56 / 70, 70, 48 / 80, 80)  # his example: 0.2, 0.0524 to 0.3339
    assert (change, low, high) == (pytest.approx(0.2), pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


def test_a_fall_of_coverage_has_an_interval_below_zero_and_the_first_day_is_kept() -> None:
    row = _against(NUMBER, [1.0] * 1000, [1.0] * 1000, covered=0.8)
    assert row["coverage_change"] == pytest.approx(-0.2) and row["coverage_change_high"] < -0.17
    assert row["first_ds"] == DAY and row["reference"] == "2024-05-07..2024-05-07 (1 day)"
