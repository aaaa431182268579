"""Suggested defaults and cells filled, from rows of the coverage table."""

from typing import Any

import pytest

from headrace.config import Config, feature_columns
from reports.suggest import SUGGEST_COLUMNS, filled, suggestions
from tests.reports.coverage_tables import config_of, covered, day_before

COUNT, RATE, SMOOTHED = "user_click_count_1d", "user_click_rate_1d", "user_click_rate_smoothed_1d"
RECENCY, MEAN, SEGMENTED = "user_click_recency_s", "user_watch_seconds_mean_3d", "item_by_gender_click_rate_smoothed_1d"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return config_of(tmp_path_factory.mktemp("root"))


def _row(feature: str, **over: Any) -> dict[str, Any]:
    return dict.fromkeys(SUGGEST_COLUMNS) | covered(feature, **over)


def _suggested(config: Config, *rows: dict[str, Any], priors: dict[str, list[float]] | None = None) -> dict[str, Any]:
    return suggestions(config, rows, priors=priors)[rows[0]["feature"]]


def test_a_count_of_a_known_key_without_events_is_zero(config: Config) -> None:
    found = _suggested(config, _row(COUNT, weight_true_zero=1000.0, weight_real=3000.0))
    assert found == {
        "kind": "zero",
        "value": 0,
        "evidence": "a known key without events has 0; 25.0% of the values seen are 0",
    }
    assert _suggested(config, _row("user_watch_seconds_sum_3d"))["kind"] == "zero"


def test_a_rate_takes_the_population_s_rate_where_its_smoothed_form_has_one(config: Config) -> None:
    for name in (RATE, SMOOTHED):
        found = _suggested(config, _row(name, mean=0.3), priors={SMOOTHED: [0.07]})
        assert (found["kind"], found["value"]) == ("prior", 0.07)
        assert found["evidence"] == "the population's own rate, from priors_user"
    other = _suggested(config, _row("user_click_rate_1h", mean=0.3), priors={SMOOTHED: [0.07]})
    assert (other["value"], other["evidence"]) == (0.3, "mean of the values over the traffic of 1 day")


def test_a_prior_by_segment_gives_the_mean_and_the_spread(config: Config) -> None:
    found = _suggested(config, _row(SEGMENTED, mean=0.2), priors={SEGMENTED: [0.1, 0.4]})
    assert (found["kind"], found["value"]) == ("prior", 0.2)
    assert found["evidence"].endswith("; priors_item_by_gender has 0.1 to 0.4 by segment")


def test_the_mean_is_weighed_by_the_traffic_with_a_value(config: Config) -> None:
    days = [_row(MEAN, mean=10.0, real=0.9), _row(MEAN, mean=20.0, real=0.1, ds=day_before(1))]
    assert _suggested(config, *days)["value"] == pytest.approx(11.0)


def test_an_unbounded_number_takes_the_median_and_says_that_it_is_skewed(config: Config) -> None:
    found = _suggested(config, _row(RECENCY, mean=900.0, std=1000.0, q50=60.0, min=1.0, max=9e6))
    assert (found["kind"], found["value"]) == ("median", 60.0)
    assert found["evidence"] == "skewed: median 60, mean 900, standard deviation 1000, 1 to 9e+06 over 1 day"
    even = _suggested(config, _row("item_duration_s", mean=61.0, std=100.0, q50=60.0, min=1.0, max=200.0))
    assert (even["kind"], even["evidence"][:6]) == ("median", "median")


def test_the_spread_of_days_apart_is_pooled(config: Config) -> None:
    days = [_row(RECENCY, mean=m, std=1.0, q50=m, ds=day_before(n)) for n, m in enumerate((0.0, 10.0))]
    assert "standard deviation 5.099" in _suggested(config, *days)["evidence"]  # sqrt(1 + 25)


def test_the_median_of_days_is_weighed_by_their_traffic(config: Config) -> None:
    days = [
        _row(RECENCY, mean=1.0, q50=q, real=real, ds=day_before(n))
        for n, (q, real) in enumerate([(5, 0.2), (50, 0.3), (7, 0.2)])
    ]
    assert _suggested(config, *days)["value"] == 7


def test_text_takes_the_commonest_value_of_all_days(config: Config) -> None:
    days = [
        _row("scene", top_values=["a", "b"], top_weights=[5000.0, 4000.0]),
        _row("scene", top_values=["b", "a"], top_weights=[8000.0, 1000.0], ds=day_before(1)),
    ]
    assert _suggested(config, *days) == {"kind": "mode", "value": "b", "evidence": "66.7% of the traffic with a value"}


def test_a_boolean_takes_a_boolean(config: Config) -> None:
    found = _suggested(config, _row("context_is_weekend", top_values=["false", "true"], top_weights=[6e3, 3e3]))
    assert (found["kind"], found["value"]) == ("mode", False)


@pytest.mark.parametrize("name", ["scene", RECENCY, RATE, "user_gender"])
def test_without_a_value_there_is_no_default(config: Config, name: str) -> None:
    nothing = {"kind": "none", "value": None, "evidence": "no values seen"}
    assert _suggested(config, _row(name, real=0.0)) == nothing
    assert suggestions(config, [])[name] == nothing


def test_a_list_has_no_default(config: Config) -> None:
    assert _suggested(config, _row("user_click_last_3_item_category"))["kind"] == "none"


def test_rows_of_an_older_version_without_quantiles_suggest_nothing(config: Config) -> None:
    assert _suggested(config, _row(RECENCY, mean=5.0, std=1.0))["kind"] == "none"


def test_a_day_on_which_the_type_was_another_is_left_out(config: Config) -> None:
    days = [_row(MEAN, mean=1.0, type="double"), _row(MEAN, mean=9.0, type="string", ds=day_before(1))]
    assert _suggested(config, *days)["value"] == 1.0


def test_every_feature_gets_a_suggestion(config: Config) -> None:
    assert list(suggestions(config, [])) == [feature.name for feature in feature_columns(config)]


def test_what_the_default_filled_is_summed_over_the_days(config: Config) -> None:
    days = [
        _row(COUNT, rows_default_filled=30, weight_default_filled=300.0),
        _row(COUNT, rows_default_filled=10, weight_default_filled=700.0, ds=day_before(1)),
        _row("scene"),
    ]
    assert filled(days) == {
        COUNT: {"rows": 40, "weight": 1000.0, "share": 0.05},
        "scene": {"rows": 0, "weight": 0.0, "share": 0.0},
    }
    assert filled([_row(COUNT, weight=0.0)])[COUNT]["share"] == 0.0
