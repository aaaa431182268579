"""When a feature fell, and since when."""

from typing import Any

import pytest

from reports.blame import falls
from tests.reports.coverage_tables import DAY, coverage_days, covered, day_before

RATE = "user_click_rate_1d"


@pytest.mark.parametrize(
    ("low", "over", "is_fall"),
    [
        ({0: 0.88}, {}, True),
        ({0: 0.895}, {}, False),
        ({0: 0.95}, {}, False),
        ({0: 0.8}, {"coverage_change_high": -0.001}, True),
        ({0: 0.8}, {"coverage_change_high": 0.001}, False),
        ({n: 0.5 for n in range(5)}, {}, False),
    ],
)
def test_a_fall_is_below_the_median_and_beyond_chance(
    low: dict[int, float], over: dict[str, Any], is_fall: bool
) -> None:
    assert bool(falls(_with_blanks(coverage_days(RATE, low=low, **over)), ds=DAY, median_days=7)) is is_fall


def _with_blanks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"coverage_change_high": None} | row for row in rows]


def test_a_fall_began_on_the_first_of_the_low_days_in_a_row() -> None:
    (fall,) = falls(coverage_days(RATE, low={0: 0.6, 1: 0.7, 3: 0.6}), ds=DAY, median_days=7)
    assert (fall.since, fall.days, fall.change) == (day_before(1), 7, pytest.approx(-0.3))


def test_days_without_data_and_days_before_the_median_do_not_count() -> None:
    rows = [*coverage_days(RATE, low={0: 0.6}, days=3), covered(RATE, real=0.1, ds=day_before(8))]
    rows += [covered(RATE, ds=day_before(4)) | {"coverage": None}]
    (fall,) = falls(rows, ds=DAY, median_days=7)
    assert fall.days == 2
    assert falls([row for row in rows if row["ds"] != DAY], ds=DAY, median_days=7) == []
    assert falls([row for row in rows if row["ds"] == DAY], ds=DAY, median_days=7) == []
