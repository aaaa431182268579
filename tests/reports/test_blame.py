"""Falls of coverage and the input that fell with them, on receipts written by hand."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from headrace.config import Config
from reports.blame import blame
from reports.inputs import read_inputs
from tests.reports.coverage_tables import DAY, config_of, coverage_days, covered, day_before, receipt, write

RATE, MEAN, GENDER = "user_click_rate_1d", "user_watch_seconds_mean_3d", "user_gender"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


def _landed(ds: date, **over: Any) -> dict[str, Any]:
    """Notes of an everyday ingest receipt; `over` by `<table>__<fact>`, None takes a note away."""
    notes: dict[str, Any] = {}
    for name, rows in {"impressions": 5000, "engagements": 2000, "user_profile": 100, "item_profile": 50}.items():
        notes |= {f"{name}.rows_in": rows, f"{name}.rows_out": rows}
    notes |= {"impressions.late": 50}
    notes |= {key.replace("__", "."): value for key, value in over.items()}
    return receipt("ingest", ds=ds, notes={k: v for k, v in notes.items() if v is not None})


def _tiled(ds: date, *, rows: int = 900, silent: str = "") -> dict[str, Any]:
    notes: dict[str, Any] = {"tiles_user.rows": rows, "tiles_user_by_category.rows": rows}
    return receipt("tiles", ds=ds, notes=notes | ({"metrics_without_events": silent} if silent else {}))


def _history(root: Path, changed: Mapping[int, dict[str, Any]] | None = None, *, days: int = 20) -> None:
    """Everyday receipts of ingest and tiles for `days` days up to DAY; `changed` by days before DAY."""
    numbers = range(days)
    over = changed or {}
    write(root, "receipts", [_landed(day_before(n), **over.get(n, {})) for n in numbers])
    write(root, "receipts", [_tiled(day_before(n)) for n in numbers])


def _blamed(config: Config, rows: list[dict[str, Any]], feature: str = RATE) -> dict[str, Any]:
    return blame(config, rows, ds=DAY)[feature]


def test_engagements_that_fell_are_named_with_their_rows_and_median(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"engagements__rows_in": 400, "engagements__rows_out": 400}})
    found = _blamed(config, coverage_days(RATE, low={0: 0.67}))
    assert found["change"] == pytest.approx(-0.23)
    assert (found["input"], found["ds"], found["rows"], found["median"]) == ("engagements", str(DAY), 400, 2000)
    assert (found["since"], found["late_share"], found["quarantined_share"]) == (str(DAY), 0.0, 0.0)
    assert found["profile_version"] is None
    assert found["text"] == (
        "Coverage is 23.0 points below the median of 7 days since 2026-03-14, null grew by 23.0 points; "
        "with it fell engagements of 2026-03-14: 400 rows where 2,000 is the median."
    )


def test_the_day_on_which_the_fall_began_is_named_not_the_last(config: Config, tmp_path: Path) -> None:
    gap = {"engagements__rows_out": 400, "engagements__rows_in": 400}
    _history(tmp_path, {2: gap, 1: gap, 0: gap})
    found = _blamed(
        config,
        coverage_days("user_like_per_click_rate_3d", low={0: 0.6, 1: 0.6, 2: 0.6}),
        "user_like_per_click_rate_3d",
    )
    assert (found["since"], found["ds"]) == (str(day_before(2)), str(day_before(2)))


def test_a_gap_nearer_to_the_fall_is_blamed_before_a_deeper_one_long_ago(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"engagements__rows_out": 1000}, 9: {"impressions__rows_out": 0}})
    assert _blamed(config, coverage_days(RATE, low={0: 0.6}))["input"] == "engagements"


def test_a_gap_outside_window_and_delay_is_not_blamed(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {3: {"engagements__rows_out": 0}})
    assert _blamed(config, coverage_days(RATE, low={0: 0.6}))["input"] is None
    longer = "user_watch_seconds_sum_3d"
    assert _blamed(config, coverage_days(longer, low={0: 0.6}), longer)["ds"] == str(day_before(3))


def test_the_delay_of_a_group_is_no_distance(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"engagements__rows_out": 1400}, 2: {"impressions__rows_out": 3000}})
    author = "author_click_count_2d"  # as_of lies up to two days before the request
    assert _blamed(config, coverage_days(author, low={0: 0.6}), author)["input"] == "impressions"


def test_a_profile_is_looked_for_longer_than_the_window(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {5: {"item_profile__rows_out": 0, "impressions__rows_out": 0}})
    segmented = "user_by_category_click_count_2h"
    assert _blamed(config, coverage_days(segmented, low={0: 0.6}), segmented)["input"] == "item_profile"


def test_a_table_that_the_feature_is_not_made_of_is_not_blamed(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"engagements__rows_out": 0, "item_profile__rows_out": 0}})
    count = "user_impression_count_1d"
    found = _blamed(config, coverage_days(count, low={0: 0.6}), count)
    assert found["input"] is None
    assert found["text"].endswith("; no input fell with it (impressions, tiles_user).")


def test_refused_rows_and_late_rows_are_told(config: Config, tmp_path: Path) -> None:
    refused = {"impressions__rows_out": 3500, "impressions__quarantined_null_user_id": 1000}
    refused |= {"impressions__quarantined_bad_type_position": 500, "impressions__late": 600}
    _history(tmp_path, {0: refused})
    found = _blamed(config, coverage_days(RATE, low={0: 0.6}))
    assert (found["input"], found["rows"], found["quarantined_share"], found["late_share"]) == (
        "impressions",
        3500,
        0.3,
        0.12,
    )
    assert "3,500 rows where 5,000 is the median, 12.0% late, 30.0% refused" in found["text"]


def test_rows_that_all_came_late_are_enough(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"engagements__late": 500}})
    found = _blamed(config, coverage_days(RATE, low={0: 0.6}))
    assert (found["input"], found["rows"], found["late_share"]) == ("engagements", 2000, 0.25)


def test_everyday_differences_are_not_blamed(config: Config, tmp_path: Path) -> None:
    noise = {"engagements__rows_out": 1650, "impressions__late": 200}
    _history(tmp_path, {0: noise | {"impressions__quarantined_null_user_id": 100}})
    assert _blamed(config, coverage_days(RATE, low={0: 0.6}))["input"] is None


def test_few_rows_may_differ_by_chance(config: Config, tmp_path: Path) -> None:
    few = {"user_profile__rows_in": 9, "user_profile__rows_out": 9}
    _history(tmp_path, dict.fromkeys(range(1, 20), few) | {0: {"user_profile__rows_out": 2}})
    assert _blamed(config, coverage_days(GENDER, low={0: 0.6}), GENDER)["input"] is None


def test_a_profile_that_did_not_land_is_named_with_its_version(config: Config, tmp_path: Path) -> None:
    gone = {"user_profile__rows_in": 0, "user_profile__rows_out": 0, "user_profile__folder": "none"}
    _history(tmp_path, dict.fromkeys(range(3), gone))
    rows = [
        covered(GENDER, real=0.9 if n > 2 else 0.7, ds=day_before(n), **_state("no_entity", 0.0 if n > 2 else 0.2))
        for n in range(8)
    ]
    found = _blamed(config, rows, GENDER)
    assert (found["input"], found["ds"], found["rows"]) == ("user_profile", str(day_before(2)), 0)
    assert found["profile_version"] == str(day_before(3))
    assert (found["state"], found["state_change"]) == ("no_entity", pytest.approx(0.2))
    assert "rows landed last on 2026-03-11" in found["text"]


def test_a_profile_that_landed_whole_at_first_and_then_as_changes_did_not_fall(config: Config, tmp_path: Path) -> None:
    change = {"user_profile__rows_in": 2, "user_profile__rows_out": 2}
    _history(tmp_path, dict.fromkeys(range(5), change), days=6)
    assert _blamed(config, coverage_days(GENDER, low={0: 0.6}, days=6), GENDER)["input"] is None


def test_a_profile_that_lands_rarely_is_blamed_for_what_grew_stale(config: Config, tmp_path: Path) -> None:
    gone = {"user_profile__rows_in": 0, "user_profile__rows_out": 0}
    _history(tmp_path, dict.fromkeys([n for n in range(20) if n != 4], gone))
    rows = [
        covered(GENDER, real=0.9 if n else 0.5, ds=day_before(n), **_state("stale", 0.0 if n else 0.4))
        for n in range(8)
    ]
    found = _blamed(config, rows, GENDER)
    assert (found["input"], found["profile_version"], found["state"]) == ("user_profile", str(day_before(4)), "stale")
    assert "rows landed last on 2026-03-10" in found["text"]


def _state(state: str, share: float) -> dict[str, Any]:
    return {f"weight_{state}": 10_000 * share, "weight_null": 1000.0}


def test_a_column_that_did_not_land_is_named(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, {0: {"impressions__absent_columns": "scene os"}})
    assert _blamed(config, coverage_days("scene", low={0: 0.0}), "scene")["text"].endswith(
        "5,000 rows where 5,000 is the median, 1.0% late, nothing of scene."
    )
    assert _blamed(config, coverage_days("device", low={0: 0.0}), "device")["input"] is None


def test_tiles_are_blamed_where_no_landing_table_fell(config: Config, tmp_path: Path) -> None:
    _history(tmp_path, days=20)
    write(tmp_path, "receipts", [_tiled(DAY, rows=90) | {"revision": 2}])
    found = _blamed(config, coverage_days(RATE, low={0: 0.6}))
    assert (found["input"], found["rows"], found["median"], found["late_share"]) == ("tiles_user", 90, 900, None)


def test_a_metric_that_met_no_event_is_named(config: Config, tmp_path: Path) -> None:
    _history(tmp_path)
    write(tmp_path, "receipts", [_tiled(DAY, silent="watch_seconds like") | {"revision": 2}])
    rows = coverage_days(MEAN, low={0: 0.6}) + coverage_days(RATE, low={0: 0.6})
    found = blame(config, rows, ds=DAY)
    assert (found[MEAN]["input"], found[RATE]["input"]) == ("tiles_user", None)
    assert found[MEAN]["text"].endswith("nothing of watch_seconds.")


def test_a_metric_that_is_silent_on_most_days_is_not_blamed(config: Config, tmp_path: Path) -> None:
    _history(tmp_path)
    write(tmp_path, "receipts", [_tiled(day_before(n), silent="watch_seconds") | {"revision": 2} for n in range(20)])
    assert _blamed(config, coverage_days(MEAN, low={0: 0.6}), MEAN)["input"] is None


def test_a_day_without_a_receipt_is_a_day_without_rows(config: Config, tmp_path: Path) -> None:
    write(tmp_path, "receipts", [_landed(day_before(n)) for n in range(20) if n != 1])
    found = _blamed(config, coverage_days(RATE, low={0: 0.6}))
    assert (found["input"], found["ds"], found["rows"]) == ("impressions", str(day_before(1)), 0)
    assert "no receipt" in found["text"]


def test_days_without_a_receipt_do_not_lower_the_median(config: Config, tmp_path: Path) -> None:
    few = [_landed(day_before(n)) for n in (17, 18, 19)]
    write(tmp_path, "receipts", [*few, _landed(DAY, engagements__rows_out=900)])
    today = read_inputs(str(tmp_path), first=day_before(19), last=DAY).day("engagements", DAY)
    assert today is not None and (today.median, today.severity) == (2000, 0.55)


def test_a_receipt_that_began_and_did_not_end_is_none(config: Config, tmp_path: Path) -> None:
    _history(tmp_path)
    write(tmp_path, "receipts", [_landed(DAY, engagements__rows_out=0) | {"revision": 2, "status": "started"}])
    inputs = read_inputs(str(tmp_path), first=day_before(20), last=DAY)
    today = inputs.day("engagements", DAY)
    assert today is not None and today.found.rows == 2000


def test_without_receipts_the_blame_says_that_nothing_is_known(config: Config) -> None:
    found = _blamed(config, coverage_days(RATE, low={0: 0.6}))
    assert (found["input"], found["rows"], found["ds"]) == (None, None, None)
