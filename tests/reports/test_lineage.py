"""What a feature is made of, from the declarations of the tests' configuration."""

from datetime import timedelta
from pathlib import Path

import pytest

from headrace.config import Config
from reports.lineage import lineage
from tests.reports.coverage_tables import config_of

RATE, GENDER = "user_click_rate_1d", "user_gender"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


def test_lineage_follows_action_segment_condition_value_and_author(config: Config) -> None:
    found = lineage(config)
    landing = {name: one.landing for name, one in found.items()}
    assert landing["user_impression_count_1d"] == ("impressions",)
    assert landing[RATE] == ("impressions", "engagements")
    assert landing["user_by_category_click_count_1d"] == ("impressions", "engagements", "item_profile")
    assert landing["user_by_category_impression_count_1d"] == ("impressions", "item_profile")
    assert landing["item_by_gender_impression_count_1d"] == ("impressions", "user_profile")
    assert landing["item_by_scene_click_count_2d"] == ("impressions", "engagements")
    video = "user_video_click_count_lifetime"
    assert landing[video] == ("impressions", "engagements", "user_profile", "item_profile")
    assert landing["user_impression_top_2_item_category_lifetime"] == ("impressions", "item_profile")
    assert landing["user_impression_top_3_item_id_lifetime"] == ("impressions",)
    assert landing["user_video_click_author_id_distinct_lifetime"][-1] == "item_profile"
    assert landing["author_impression_count_1d"] == ("impressions", "item_profile")
    assert landing["item_feed_click_per_feed_impression_rate_2d"] == ("impressions", "engagements")
    assert (landing[GENDER], landing["scene"], landing["context_hour"]) == (
        ("user_profile",),
        ("impressions",),
        ("impressions",),
    )


def test_lineage_says_how_far_a_feature_looks_back(config: Config) -> None:
    found = lineage(config)
    assert (found[RATE].reach, found[RATE].lag_days) == (timedelta(days=1), 1)
    assert found["user_click_rate_trend_1h_3d"].reach == timedelta(days=3)
    assert found["user_click_recency_s"].reach is None
    assert found["author_click_count_2d"].lag == timedelta(days=1, hours=3)
    ending = "user_video_click_count_1d_ending_2h_before"
    assert (found[ending].reach, found[ending].window) == (timedelta(hours=26), "1d_ending_2h_before")
    assert found[GENDER].steps == [{"table": "user_profile", "kind": "profile"}]
    assert [step["kind"] for step in found["author_click_count_2d"].steps] == ["landing", "landing", "profile", "tiles"]
