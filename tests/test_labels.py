"""Labels from engagements, rule by rule, and how long they take to come."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from headrace.config import load_config
from headrace.errors import ConfigError
from sampling.delays import LIMITS, label_delays
from sampling.labels import build_labels

DAY, SHOWN = date(2024, 5, 1), datetime(2024, 5, 1, 12, tzinfo=UTC)
TINY = Path(__file__).parent / "data" / "tiny.yaml"
_ENGAGED = (
    "impression_id bigint, action string, value double, event_ts timestamp, ds date, effective_arrival_ts timestamp"
)


def labels_of(spark, engaged: list[tuple], *settings: str, duration: float | None = 100.0):
    """Labels of one impression; engagements as (action, seconds after it, value, landing day)."""
    shown = spark.createDataFrame(
        [(1, SHOWN, DAY, duration)],
        "impression_id bigint, event_ts timestamp, ds date, item_duration_s double",
    )
    rows = []
    for action, after, value, landed in engaged:
        at = SHOWN + timedelta(seconds=after)
        rows.append((1, action, value, at, DAY + timedelta(days=landed), at))
    made = build_labels(shown, spark.createDataFrame(rows, _ENGAGED), load_config(TINY, settings=settings).labels)
    return made.collect()[0]


def test_an_engagement_at_the_start_of_the_label_window_counts_and_one_at_its_end_does_not(spark):
    assert labels_of(spark, [("click", 0, None, 0)])["label_click"] == 1
    assert labels_of(spark, [("click", 3599.999999, None, 0)])["label_click"] == 1
    assert labels_of(spark, [("click", 3600, None, 0)])["label_click"] == 0


def test_an_engagement_stamped_before_the_impression_labels_nothing_and_is_counted(spark):
    row = labels_of(spark, [("click", -1, None, 0)])
    assert (row["label_click"], row["preceding_engagements"]) == (0, 1)


def test_what_lands_after_the_maturity_day_labels_nothing(spark):
    assert labels_of(spark, [("like", 10, None, 1)])["label_like"] == 1
    assert labels_of(spark, [("like", 10, None, 2)])["label_like"] == 0
    assert labels_of(spark, [("like", 10, None, 2)], "labels.grace_days=1")["label_like"] == 1


def test_each_label_has_the_maturity_day_of_its_own_window(spark):
    engaged = [("click", 10, None, 3), ("like", 10, None, 3)]
    row = labels_of(spark, engaged, "labels.windows.like=72h", "labels.implied=report")
    assert (row["label_click"], row["label_like"]) == (0, 1)


def test_an_action_whose_column_is_taken_is_refused():
    with pytest.raises(ConfigError, match="label_completed"):
        load_config(
            TINY,
            settings=[
                "labels.windows.completed=1h",
                "ingest.actions=[click, like, collect, share, follow, comment, watch, completed]",
            ],
        )


def test_declared_counts_count_each_engagement_once_in_its_window(spark):
    engaged = [("share", 5, None, 0), ("share", 5, None, 1), ("share", 90, None, 0), ("share", 86_400, None, 1)]
    row = labels_of(spark, engaged, "labels.counts=[share]")
    assert (row["label_share"], row["label_share_count"]) == (1, 2)
    assert labels_of(spark, [], "labels.counts=[share]")["label_share_count"] == 0


def test_watch_seconds_add_up_over_plays_and_are_cut_only_by_a_declared_cap(spark):
    plays = [("watch", 5, 80.0, 0), ("watch", 900, 145.5, 0)]
    free = labels_of(spark, plays)
    assert (free["label_watch_s"], free["watch_cut_s"], free["label_completion"]) == (225.5, 0.0, 2.255)
    capped = labels_of(spark, plays, "labels.watch_cap=2")
    assert (capped["label_watch_s"], capped["watch_cut_s"], capped["label_completion"]) == (200.0, 25.5, 2.0)
    assert labels_of(spark, plays, "labels.watch_cap=2", duration=None)["label_watch_s"] == 225.5


@pytest.mark.parametrize(("seconds", "completed"), [(79.9, 0), (80.0, 1), (100.0, 1)])
def test_a_video_is_completed_from_the_declared_share_of_its_duration_on(spark, seconds, completed):
    assert labels_of(spark, [("watch", 5, seconds, 0)], "labels.completed_at=0.8")["label_completed"] == completed


def test_where_there_is_nothing_to_watch_and_nothing_was_all_is_null(spark):
    row = labels_of(spark, [], duration=None)
    assert (row["label_watch_s"], row["label_completion"], row["label_completed"]) == (None, None, None)
    assert labels_of(spark, [])["label_watch_s"] == 0.0 and labels_of(spark, [])["label_completed"] == 0


def test_the_completed_flag_is_absent_where_none_is_declared(spark):
    assert "label_completed" not in labels_of(spark, [], "labels.completed_at=null").asDict()


def test_implied_labels_are_set_and_counted_or_only_counted_as_declared(spark):
    liked = [("like", 7200, None, 0)]
    enforced, reported = labels_of(spark, liked), labels_of(spark, liked, "labels.implied=report")
    assert (enforced["label_click"], enforced["implied_labels"]) == (1, 1)
    assert (reported["label_click"], reported["implied_labels"]) == (0, 1)
    assert reported["label_like"] == 1


def test_delays_count_the_first_of_each_action_by_when_it_happened_and_when_it_landed(spark, tmp_path):
    from headrace import writing
    from schemas.tables import table

    config = load_config(TINY, settings=[f"root={tmp_path}", f"landing={tmp_path}/landing"])
    hour = timedelta(hours=1)
    shown = [(n, None, SHOWN, 1, 1, SHOWN, None, SHOWN, None, None, None, None, None, None, DAY) for n in (1, 2, 3)]
    frame = spark.createDataFrame(shown, table(config, "impressions").schema)
    writing.write_frame(frame, config, table(config, "impressions"), days=[DAY])
    done = [
        (1, "like", SHOWN + 0.5 * hour, SHOWN + 7 * hour),
        (1, "like", SHOWN + 2 * hour, SHOWN + 2 * hour),  # happened second, landed first
        (2, "like", SHOWN + 23 * hour, SHOWN + 30 * hour),
        (3, "like", SHOWN - hour, SHOWN),  # before the impression
        (3, "click", SHOWN + 169 * hour, SHOWN + 169 * hour),  # after the longest limit
    ]
    rows = [(n, 1, 1, action, None, at, landed, landed, True, DAY) for n, action, at, landed in done]
    frame = spark.createDataFrame(rows, table(config, "engagements").schema)
    writing.write_frame(frame, config, table(config, "engagements"), days=[DAY])
    found = label_delays(spark, config, days=[DAY]).collect()
    assert [row["action"] for row in found] == ["like"]
    row = found[0]
    assert row["impressions"] == 2 and row["watched_h"] == 0
    assert [row[f"happened_{name}"] for name in LIMITS] == [1, 1, 2, 2]
    assert [row[f"landed_{name}"] for name in LIMITS] == [0, 1, 1, 2]
