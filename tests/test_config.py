"""Configuration: defaults, overlays, --set, and every complaint naming file, key, found and wanted."""

from datetime import date

import pytest

from headrace.config import feature_columns, load_config
from headrace.config.load import conf_dir
from headrace.days import day_end, day_start
from headrace.durations import duration_name, parse_duration
from headrace.errors import ConfigError


def test_every_shipped_file_loads():
    for name in ("base.yaml", "local.yaml", "prod.yaml"):
        assert len(feature_columns(load_config(conf_dir() / name))) > 50


_MANY_METRICS = ", ".join(f"m{n}: {{action: click}}" for n in range(60))  # on top of the six that are there


@pytest.mark.parametrize(
    ("setting", "where", "found", "wanted"),
    [
        ("sampling.negative_rat=0.1", "--set: sampling.negative_rat", "unknown key", "documents"),
        ("sampling.negative_rate=0", "--set: sampling.negative_rate", "0", "greater than 0"),
        ("sampling.negative_rate=1.5", "--set: sampling.negative_rate", "1.5", "less than or equal to 1"),
        ("labels.windows.click=3600", "--set: labels.windows.click", "3600", "a whole number with a unit"),
        ("labels.windows.click=-1h", "--set: labels.windows.click", "-1h", "a whole number with a unit"),
        ("timezone=Mars/Olympus", "timezone", "Mars/Olympus", "IANA"),
        ("root=/data/my%20tables", "root", "%20", "without '%20'"),
        ("root=/data/[tables]", "root", "[tables]", "without '[' ']'"),
        ("root=s3://bucket/my tables", "root", "my tables", "without ' '"),
        ("country=Atlantis", "country", "Atlantis", "ISO 3166"),
        ("features.groups.user.windows=[1h, 90m]", "groups.user", "90m", "multiple of the tile 1h; tile: 30m would do"),
        ("features.groups.user.windows=[1h, 7m]", "groups.user", "7m", "no tile fits"),
        ("features.groups.user.delay=20m", "groups.user", "delay = 20m", "multiple of the tile"),
        ("features.groups.user.windows=[1d, 24h]", "groups.user.windows", "'1d', '1d'", "each once"),
        ("features.groups.user.refresh=2h", "groups.user.refresh", "2h", "0, 1h or 1d"),
        ("features.groups.user.count=[clicks]", "groups.user", "clicks", "click"),
        ("features.groups.user.sum=[click]", "groups.user", "click", "value: true"),
        ("features.groups.user.segment=item.colour", "groups.user.segment", "item.colour", "category"),
        ("features.metrics.click.action=klick", "metrics.click.action", "klick", "click"),
        ("features.metrics.click.value=true", "metrics.click.value", "true", "value_actions"),
        ("labels.implies={like: clikc}", "labels", "clikc", "label window"),
        ("coverage.slices=[moon]", "coverage.slices", "moon", "scene"),
        ("timezone=Asia/Kolkata", "features.tile", "1h", "tile: 30m would do"),
        ("ingest.timestamp_units={event_tz: ms}", "ingest.timestamp_units", "event_tz", "event_ts"),
        ("ingest.value_actions=[sleep]", "ingest", "sleep", "some of actions"),
        ("sampling.negative_rate=true", "sampling.negative_rate", "True", "number"),
        ("root=~/tables", "root", "~/tables", "whole path"),
        ("landing=/data/x[1]", "landing", "x[1]", "without '[' ']'"),
        ("profiles.user.columns.ds=string", "profiles.user", "ds", "do not use themselves"),
        ("features.groups.user.rate=[click/]", "groups.user", "click/", "like/click"),
        ("features.groups.user.rate=[click/click]", "groups.user", "click/click", "like/click"),
        ("features.defaults.count=0.5", "features.defaults.count", "0.5", "whole number"),
        ("features.groups.user.windows=[7 days]", "groups.user", "7 days", "7d ending 1d before"),
        ("features.groups.user.windows=[7d ending 90m before]", "groups.user", "7d_ending_90m", "multiple of the tile"),
        ("features.groups.user.share=[click]", "groups.user.share", "no segment", "segment's part"),
        (
            "features.groups.user.quantile={watch_seconds: [1.5]}",
            "groups.user.quantile",
            "1.5",
            "less than or equal to 1",
        ),
        ("features.groups.user.last_k={click: {of: scene, k: 3}}", "groups.user.last_k", "scene", "pattern"),
        (
            "features.groups.user.top_k={click: {of: item.duration_s, k: 3}}",
            "groups.user",
            "item.duration_s",
            "item.category",
        ),
        ("features.groups.user.min=[click]", "groups.user", "min of ['click']", "value: true"),
        ("features.metrics.click.where=[item.colour = red]", "metrics.click.where", "item.colour", "item.category"),
        ("features.metrics.click.where=[item.format = 3]", "metrics.click.where", "item.format = 3", "a text"),
        ("features.metrics.click.where=[value > 3]", "metrics.click.where", "value", "value_actions"),
        (
            "features.metrics.click.where=[item.format like x]",
            "metrics.click.where",
            "like",
            "<column> <operator> <value>",
        ),
        (f"features.metrics={{{_MANY_METRICS}}}", "features.metrics", "66", "at most 62"),
    ],
)
def test_a_wrong_setting_is_refused_with_key_found_and_wanted(setting, where, found, wanted):
    with pytest.raises(ConfigError) as refused:
        load_config(settings=[setting])
    assert where in refused.value.what
    assert found in refused.value.found
    assert wanted in refused.value.wanted


def test_names_generated_twice_are_refused():
    twin = "features.groups.twin={entity: user, windows: [24h], delay: 1h, refresh: 1h, tolerance: 1d, count: [click]}"
    with pytest.raises(ConfigError, match="user_click_count_1d"):
        load_config(settings=[twin])


def test_one_line_adds_a_window():
    before = {f.name for f in feature_columns(load_config())}
    after = {
        f.name for f in feature_columns(load_config(settings=["features.groups.user_by_format.windows=[7d, 14d]"]))
    }
    assert after - before == {"user_by_format_click_count_14d", "user_by_format_click_rate_smoothed_14d"}


def test_the_file_that_names_a_wrong_key_is_named(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("extends: base.yaml\nsampling: {negative_rate: 7}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: sampling\.negative_rate"):
        load_config(overlay)


def test_paths_in_an_overlay_are_relative_to_it_and_its_features_replace(tmp_path):
    (tmp_path / "f.yaml").write_text(
        "tile: 1h\nmetrics: {click: {action: click}}\n"
        "groups: {user: {entity: user, windows: [1d], delay: 1h, refresh: 1h, tolerance: 1d, count: [click]}}\n"
    )
    (tmp_path / "c.yaml").write_text("extends: base.yaml\nlanding: here\nfeatures: f.yaml\n")
    config = load_config(tmp_path / "c.yaml")
    assert config.landing == str(tmp_path / "here")
    assert list(config.features.groups) == ["user"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\na: 2\n", "twice"),
        ("- 1\n", "a list"),
        ("a: [", "YAML"),
        ("extends: mine.yaml\n", "circle"),
        ("!!python/object:os.system {}", "YAML"),
    ],
)
def test_files_that_are_no_configuration_are_refused(tmp_path, text, complaint):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_config(tmp_path / "mine.yaml")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.yaml")


def test_durations_have_one_name():
    assert [duration_name(parse_duration(t)) for t in ("24h", "90m", "168h", "3600s", "0")] == [
        "1d",
        "90m",
        "7d",
        "1h",
        "0d",
    ]


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2024, 5, 1), "2024-05-01 00:00", 24),
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30 23:00", 23),
        ("Europe/Berlin", date(2024, 10, 27), "2024-10-26 22:00", 25),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04 03:00", 23),  # no midnight
        ("America/Havana", date(2024, 11, 3), "2024-11-03 04:00", 25),  # two midnights
        ("Asia/Shanghai", date(2024, 1, 1), "2023-12-31 16:00", 24),
    ],
)
def test_a_business_day_starts_at_its_first_instant(zone, day, start, hours):
    assert f"{day_start(day, zone):%Y-%m-%d %H:%M}" == start
    assert (day_end(day, zone) - day_start(day, zone)).total_seconds() == hours * 3600


def test_a_fusion_is_one_thing_and_not_mixed_with_the_shipped_one(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "extends: base.yaml\ntrain: {fusion: {form: power, inputs: {click: {exponent: 1}, like: {exponent: 2}}}}\n"
    )
    fusion = load_config(tmp_path / "c.yaml").train.fusion
    assert fusion is not None and fusion.form == "power" and list(fusion.inputs) == ["click", "like"]
    changed = load_config(settings=["train.fusion.inputs.like.weight=5"]).train.fusion
    assert (
        changed is not None
        and changed.form == "click_times"
        and changed.inputs["like"].weight == 5
        and "share" in changed.inputs
    )


@pytest.mark.parametrize(
    "setting",
    [
        "learning_rate=.inf",
        "clip_norm=.inf",
        "embedding_dim=100000000",
        "hash_buckets=1000000000000",
        "heads.weights={nope: 2}",
    ],
)
def test_numbers_that_no_model_can_have_are_refused(setting):
    with pytest.raises(ConfigError, match="train"):
        load_config(settings=[f"train.{setting}"])
