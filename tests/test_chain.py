"""The whole chain on a tiny world, cell by cell against the brute-force oracle, and its promises."""

import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest

from features.states import STATES
from headrace import tables
from headrace.chain import run_step
from headrace.config import feature_columns, load_config
from headrace.delta import read_days
from headrace.errors import InputError
from headrace.manifest import differences, read_manifest
from headrace.receipts import STARTED, latest_receipts, write_receipts
from headrace.steps import STEPS, step_named
from tests.conftest import DAYS, FIRST, LAST, config_of, run_all
from tests.oracle import Oracle, profile_at


def rows_of(config, name: str, days=None) -> list[dict]:
    return read_days(f"{config.root}/{name}", days=days).to_pylist()


@pytest.fixture(scope="session")
def oracle(world) -> Oracle:
    config, _ = world
    return Oracle(config, *(rows_of(config, n) for n in ("impressions", "engagements", "user_profile", "item_profile")))


def test_every_statistic_equals_the_brute_force_oracle(world, oracle):
    config, _ = world
    features = feature_columns(config)
    position = {f.name: i for i, f in enumerate(features)}
    defaults = {f.name: f.default for f in features}
    wrong: list[tuple] = []
    seen: Counter[str] = Counter()
    for row in rows_of(config, "training_set"):
        for group in config.features.groups:
            for name, expected in oracle.group_cells(group, row).items():
                state = STATES[row["feature_states"][position[name]]]
                seen[state] += 1
                shown = defaults[name] if expected is None else expected
                empty = state in ("no_entity", "null", "default_filled")
                if row[name] != shown or (state != "stale" and empty != (expected is None)):
                    wrong.append((row["impression_id"], name, row[name], expected, state))
    assert wrong == []
    assert set(seen) == set(STATES), f"every state must occur, found {seen}"


def test_profiles_are_those_that_held_and_were_known_at_request_time(world, oracle):
    config, _ = world
    for row in rows_of(config, "training_set"):
        for entity, versions in (("user", oracle.users), ("item", oracle.items)):
            found = profile_at(versions, f"{entity}_id", row[f"{entity}_id"], row["request_ts"], config.timezone)
            for column in ("gender", "age") if entity == "user" else ("category", "duration_s"):
                assert row[f"{entity}_{column}"] == (found and found[0][column])


def test_profile_states_tell_no_profile_from_stale_from_null(world, oracle):
    config, _ = world
    position = [f.name for f in feature_columns(config)].index("user_gender")
    for row in rows_of(config, "training_set"):
        found = profile_at(oracle.users, "user_id", row["user_id"], row["request_ts"], config.timezone)
        state = STATES[row["feature_states"][position]]
        if found is None:
            assert state == "no_entity"
        elif row["request_ts"] - found[1] > timedelta(days=2):
            assert state == "stale"
        else:
            assert state == ("null" if found[0]["gender"] is None else "real")


def test_labels_equal_a_brute_force_reading_of_the_rules(world):
    config, _ = world
    engagements = [e for e in rows_of(config, "engagements") if e["impression_id"] is not None]
    for row in rows_of(config, "labels"):
        own = [
            e for e in engagements if e["impression_id"] == row["impression_id"] and e["event_ts"] >= row["event_ts"]
        ]
        own = [e for e in own if e["ds"] <= row["ds"] + timedelta(days=1)]

        def within(action: str, window: timedelta, own=own, row=row) -> list[dict]:
            return [e for e in own if e["action"] == action and e["event_ts"] < row["event_ts"] + window]

        liked = bool(within("like", timedelta(days=1)))
        shared = bool(within("share", timedelta(days=1)))
        assert row["label_like"] == liked
        assert row["label_click"] == (liked or shared or bool(within("click", timedelta(hours=1))))
        plays = within("watch", timedelta(days=1))
        if plays:
            assert row["label_watch_s"] == sum(round(e["value"] * 1e6) for e in plays) / 1e6
        else:
            assert row["label_watch_s"] in (None, 0.0)


def test_every_receipt_accounts_for_every_row(world):
    config, receipts = world
    assert receipts and all(
        r.rows_in == r.rows_out + r.rows_quarantined + r.rows_duplicate + r.rows_sampled_out + r.rows_immature
        for r in receipts
    )
    ingested = [r for r in receipts if r.job == "ingest"]
    assert sum(r.rows_quarantined for r in ingested) == len(rows_of(config, "quarantine")) > 0
    assert sum(r.rows_duplicate for r in ingested) == len(rows_of(config, "duplicates")) > 0


def test_a_metric_that_met_no_event_is_named_on_the_receipt(world):
    config, _ = world
    latest = latest_receipts(config)
    named = {day: r.notes.get("metrics_without_events", "") for (job, day), r in latest.items() if job == "tiles"}
    for day, text in named.items():
        rows = rows_of(config, "tiles_item_in_feed", [day])
        assert ("feed_click" in text.split()) == (sum(row["feed_click_count"] for row in rows) == 0)
        assert "impression" not in text.split()


def test_a_second_run_does_nothing(spark, world):
    config, _ = world
    before = latest_receipts(config)
    again = run_all(spark, config)
    assert all(not outcome.built for outcome in again)
    assert latest_receipts(config) == before


def hashes(config) -> dict:
    names = (
        "impressions",
        "engagements",
        "user_profile",
        "item_profile",
        "labels",
        "spine",
        "training_set",
        "sampling_rates",
        "coverage",
    )
    latest = latest_receipts(config)
    return {
        (job, day, name): value
        for (job, day), receipt in latest.items()
        for name, value in receipt.outputs.items()
        if name in names or name.startswith("tiles_")
    }


@pytest.mark.parametrize("partitions", [1, 3, 7])
def test_the_training_set_is_the_same_at_any_number_of_partitions(spark, world, partitions):
    from features.assemble import spine_features

    config, _ = world
    days = [LAST - timedelta(days=n) for n in range(DAYS)]
    other = config.model_copy(update={"spark": config.spark.model_copy(update={"partitions": partitions})})
    built = tables.content_hashes(spine_features(spark, other, days=days), days=days)
    assert built == {day: latest_receipts(config)["features", day].outputs["training_set"] for day in days}


def test_the_training_set_is_the_same_whoever_is_called_hot(spark, world, monkeypatch):
    from features import assemble

    config, _ = world
    monkeypatch.setattr(assemble, "_ROWS_WORTH_A_LOOK", 0)
    other = config.model_copy(update={"spark": config.spark.model_copy(update={"partitions": 6})})
    hot = assemble._hot(spark, other, ["user", "item", "author"], days=[LAST], partitions=6)
    assert all(len(hot[entity]) > 1 for entity in hot)
    built = tables.content_hashes(assemble.spine_features(spark, other, days=[LAST]), days=[LAST])
    assert built == {LAST: latest_receipts(config)["features", LAST].outputs["training_set"]}


def test_days_built_one_by_one_give_the_same_hashes_as_all_at_once(spark, world, tmp_path):
    config, _ = world
    (tmp_path / "landing").symlink_to(config.landing)
    alone = config_of(tmp_path)
    for number in (1, 0):
        run_all(spark, alone, ds=LAST - timedelta(days=number), days=1)
    wanted = {k: v for k, v in hashes(config).items() if k in hashes(alone)}
    assert hashes(alone) == wanted
    assert ("features", LAST, "training_set") in wanted
    assert differences(read_manifest(config, LAST), read_manifest(alone, LAST)) == []


def test_a_group_added_later_is_built_alone_and_gives_what_building_all_again_gives(spark, world, tmp_path):
    config, _ = world
    added = {
        "entity": "item",
        "windows": ["6h"],
        "delay": "1h",
        "refresh": "1h",
        "tolerance": "1d",
        "count": ["shared"],
    }
    more = config_of(
        tmp_path,
        f"landing={config.landing}",
        "features.metrics.shared={action: share}",
        f"features.groups.shares={added}",
    )
    shutil.copytree(config.root, more.root)
    versions = {name: tables.version_of(more, f"tiles_{name}") for name in config.features.groups}
    history = sorted(day for job, day in latest_receipts(config) if job == "tiles")
    run_step(lambda: spark, more, step_named("tiles"), days=history)
    assert {name: tables.version_of(more, f"tiles_{name}") for name in config.features.groups} == versions
    alone = run_step(lambda: spark, more, step_named("features"), days=[LAST]).receipts[0]
    assert [n for n in alone.notes if n.endswith("rows_read")] == ["tiles_shares.rows_read"]
    whole = run_step(lambda: spark, more, step_named("features"), days=[LAST], rebuild=[LAST]).receipts[0]
    assert len([n for n in whole.notes if n.endswith("rows_read")]) == len(more.features.groups)
    assert alone.outputs == whole.outputs
    assert any(row["item_shared_count_6h"] for row in rows_of(more, "training_set", [LAST]))


def test_coverage_states_sum_to_the_rows_and_the_weight(world):
    config, _ = world
    rows = rows_of(config, "coverage")
    assert {r["slice"] for r in rows} == {"all", "scene", "item_format", "user_gender"}
    for row in rows:
        assert sum(row[f"rows_{s}"] for s in STATES) == row["rows"] > 0
        assert sum(row[f"weight_{s}"] for s in STATES) == pytest.approx(row["weight"], rel=1e-12)


def test_coverage_counts_equal_the_bytes_of_the_training_set(world):
    config, _ = world
    expected: Counter = Counter()
    names = [f.name for f in feature_columns(config)]
    for row in rows_of(config, "training_set"):
        for name, state in zip(names, row["feature_states"], strict=True):
            expected[row["ds"], name, STATES[state]] += 1
    for row in rows_of(config, "coverage"):
        if row["slice"] == "all":
            assert {s: row[f"rows_{s}"] for s in STATES} == {s: expected[row["ds"], row["feature"], s] for s in STATES}


def test_context_reads_the_local_clock_and_calendar(world):
    from zoneinfo import ZoneInfo

    config, _ = world
    for row in rows_of(config, "training_set"):
        local = row["request_ts"].astimezone(ZoneInfo(config.timezone))
        assert (row["context_hour"], row["context_weekday"]) == (local.hour, local.isoweekday())
        assert row["context_is_weekend"] == (local.isoweekday() >= 6)
        assert row["context_is_holiday"] == (local.date() in (date(2024, 3, 29), date(2024, 4, 1)))


def test_a_published_day_pins_the_version_that_holds_its_rows(world):
    config, _ = world
    receipt = latest_receipts(config)["publish", LAST]
    assert receipt.status == "published"
    pinned = partial(read_days, f"{config.root}/training_set", days=[LAST])
    assert pinned(version=int(receipt.versions["training_set"])).num_rows == receipt.rows_out > 0


@pytest.mark.parametrize(
    ("step", "setting", "redo"),
    [
        ("features", "features.groups.user.delay=2h", "tiles"),
        ("features", "sampling.negative_rate=0.4", "sample"),
        ("tiles", "timezone=America/New_York", "ingest"),
        ("tiles", "start_ds=2024-03-31", "ingest"),
        ("sample", "labels.windows.click=2h", "labels"),
        ("coverage", "features.groups.user.windows=[1h]", "features"),
        ("publish", "sampling.negative_rate=0.4", "sample"),
    ],
)
def test_what_another_configuration_made_is_refused_before_anything_runs(spark, world, step, setting, redo):
    config, _ = world
    settings = [f"landing={config.landing}", f"root={config.root}", setting]
    changed = load_config(Path(__file__).parent / "data" / "tiny.yaml", settings=settings)
    before = latest_receipts(config)
    with pytest.raises(InputError, match=f"headrace {redo} --ds") as refused:
        run_step(lambda: spark, changed, next(s for s in STEPS if s.name == step), days=[LAST])
    assert "another configuration" in str(refused.value)
    assert latest_receipts(config) == before


def test_days_that_a_killed_job_left_half_written_are_not_read(spark, world, tmp_path):
    config, _ = world
    copy = config_of(tmp_path, f"landing={config.landing}")
    shutil.copytree(config.root, copy.root)
    tiles = latest_receipts(config)["tiles", FIRST]
    (started,) = write_receipts(copy, [replace(tiles, revision=0, status=STARTED)])
    assert started.revision == tiles.revision + 1
    step = next(s for s in STEPS if s.name == "features")
    with pytest.raises(InputError, match=rf"1 day\(s\) of tiles, {FIRST} the first, not built"):
        run_step(lambda: spark, copy, step, days=[LAST])
    again = run_step(lambda: spark, copy, next(s for s in STEPS if s.name == "tiles"), days=[FIRST])
    assert again.built == [FIRST] and again.receipts[0].revision == started.revision + 1
    assert again.receipts[0].outputs == tiles.outputs
    assert run_step(lambda: spark, copy, step, days=[LAST]).built == []
