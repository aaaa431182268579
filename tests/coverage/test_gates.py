"""Rules over coverage tables written by hand: what each kind judges, what passes, what fails, since when."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from headrace.config import Config, feature_columns, load_config
from headrace.errors import ConfigError, InputError
from reports.verdict import Verdict, judge, store_verdict
from tests.coverage.tables import cell, write_coverage

DAY = date(2024, 5, 8)
NAMES = ["user_click_count_7d", "item_quality_score", "context_hour"]


def _config(folder: Path, **rules: str) -> Config:
    lists = {"floors": "[]", "ceilings": "[]", "drift": "[]", "rows": "[]"} | rules
    settings = [f"gates.{kind}={text}" for kind, text in lists.items()]
    return load_config(None, settings=[f"root={folder}/tables", f"landing={folder}/landing", *settings])


def _whole(config: Config, ds: date = DAY, **over: object) -> list[dict]:
    """Every declared feature, the whole of the traffic."""
    return [cell(f.name, ds, **over) for f in feature_columns(config)]


def _failed(verdict: Verdict) -> list[tuple]:
    return [(f.rule, f.feature, f.slice, f.value, f.observed) for f in verdict.failures]


def test_a_floor_fails_the_feature_below_it_and_no_other(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        floors="[{name: enough, feature: 'user_click_*', at_least: 0.9}, {feature: context_hour, at_least: 1}]",
    )
    rows = [r for r in _whole(config) if r["feature"] != NAMES[0]]
    write_coverage(config, [*rows, cell(NAMES[0], DAY, states={"null": 0.3})])
    verdict = judge(config, DAY)
    assert _failed(verdict) == [("enough", NAMES[0], "all", "all", 0.7)]
    assert [f.wanted_low for f in verdict.critical] == [0.9]
    assert {r["limit"].rule: (r["checked"], r["failed"]) for r in verdict.rules} == {
        "enough": (sum(f.name.startswith("user_click_") for f in feature_columns(config)), 1),
        "floors 2": (1, 0),
    }


def test_features_can_be_left_out_of_a_rule(tmp_path: Path) -> None:
    config = _config(
        tmp_path, floors="[{name: all but, but_not: [context_*, 'user_*', 'item_*', 'author_*'], at_least: 0.9}]"
    )
    write_coverage(config, _whole(config, states={"null": 0.5}))
    judged = {f.feature for f in judge(config, DAY).failures}
    assert judged == {"position", "scene", "device", "os", "network", "city"}


def test_a_bracket_in_a_pattern_stands_for_itself(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{name: low, slice: scene, value: 'a[b]', at_least: 0.9}]")
    low = {"slice": "scene", "states": {"null": 0.5}}
    write_coverage(
        config, [*_whole(config), *(cell(NAMES[0], DAY, value=v, **low) for v in ("a[b]", "ab", "\x00", ""))]
    )
    assert [f.value for f in judge(config, DAY).failures] == ["a[b]"]


def test_a_value_that_a_rule_on_rows_names_is_judged_though_it_never_was(tmp_path: Path) -> None:
    config = _config(tmp_path, rows="[{name: named, slice: scene, value: gone, at_least: 1}]")
    write_coverage(config, _whole(config))
    assert _failed(judge(config, DAY)) == [("named", None, "scene", "gone", 0.0)]


def test_without_a_coverage_table_there_is_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table"):
        judge(_config(tmp_path, rows="[{at_least: 1}]"), DAY)


def test_data_docs_of_several_days_and_of_one_day_again(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{feature: context_hour, at_least: 0.5}]")
    days = [DAY - timedelta(days=1), DAY]
    write_coverage(config, [row for day in days for row in _whole(config, day)])
    for day in [*days, DAY]:
        judge(config, day, docs=tmp_path / "docs")
    assert len(list((tmp_path / "docs").glob("ds=*/gx/uncommitted/data_docs/local_site/index.html"))) == 2


def test_limits_are_inclusive(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        floors="[{feature: context_hour, at_least: 0.9}]",
        ceilings="[{feature: context_hour, state: stale, at_most: 0.1}]",
    )
    write_coverage(config, [*_whole(config, states={"stale": 0.1})])
    assert _failed(judge(config, DAY)) == []


def test_ceilings_look_at_the_share_of_one_state_and_slices_at_their_values(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        ceilings="[{name: filled, feature: '*', slice: scene, value: 'f*', state: default_filled, at_most: 0.2, severity: warning}]",
    )
    own = {"slice": "scene", "states": {"default_filled": 0.5}}
    write_coverage(config, [*_whole(config), *(cell(NAMES[0], DAY, value=v, **own) for v in ("feed", "search", None))])
    verdict = judge(config, DAY)
    assert _failed(verdict) == [("filled", NAMES[0], "scene", "feed", 0.5)]
    assert verdict.critical == []


def test_null_is_a_value_of_its_own(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{name: no scene, slice: scene, value: null, at_least: 0.9}]")
    low = {"slice": "scene", "states": {"null": 0.5}}
    write_coverage(config, [*_whole(config), *(cell(NAMES[0], DAY, value=v, **low) for v in ("null", "", None))])
    assert _failed(judge(config, DAY)) == [("no scene", NAMES[0], "scene", None, 0.5)]


def test_a_median_looks_back_over_its_days_and_judges_nothing_without_them(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{name: fell, feature: '*', below_median: 0.1}]")
    days = [DAY - timedelta(days=back) for back in range(1, 9)]
    shares = dict(zip(days, (0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.2, 0.9), strict=True))  # the eighth is too long ago
    before = [cell(NAMES[0], day, states={"null": share}) for day, share in shares.items()]
    new = [cell(NAMES[1], DAY, states={"null": 0.9})]
    write_coverage(config, [*before, *new, cell(NAMES[0], DAY, states={"null": 0.31})])
    fallen = [f for f in judge(config, DAY).failures if f.feature in NAMES[:2]]
    assert [(f.feature, f.observed, f.median, f.wanted_low) for f in fallen] == [
        (NAMES[0], pytest.approx(0.69), pytest.approx(0.8), pytest.approx(0.7))
    ]


def test_a_declared_feature_without_rows_fails_its_floor(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{name: there, feature: '*', at_least: 0.5}]")
    write_coverage(config, [r for r in _whole(config) if r["feature"] != "context_hour"])
    assert _failed(judge(config, DAY)) == [("there", "context_hour", "all", "all", 0.0)]


def test_a_day_without_rows_fails_rows_and_nothing_else(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        floors="[{feature: '*', at_least: 0.5}]",
        rows="[{name: some, at_least: 1}, {name: fell, of_median_at_least: 0.5}]",
    )
    write_coverage(config, _whole(config, DAY - timedelta(days=1)))
    assert _failed(judge(config, DAY)) == [("some", None, "all", "all", 0.0), ("fell", None, "all", "all", 0.0)]


def test_a_slice_value_that_is_gone_has_no_rows(tmp_path: Path) -> None:
    config = _config(
        tmp_path, rows="[{name: scenes, slice: scene, of_median_at_least: 0.5}, {name: many, of_median_at_most: 2}]"
    )
    yesterday = [cell(NAMES[0], DAY - timedelta(days=1), slice="scene", value=v) for v in ("feed", "gone")]
    write_coverage(
        config, [*yesterday, cell(NAMES[0], DAY, slice="scene", value="feed", rows=501), *_whole(config, rows=5000)]
    )
    verdict = judge(config, DAY)
    assert _failed(verdict) == [("scenes", None, "scene", "gone", 0.0)]
    assert [(f.median, f.wanted_low) for f in verdict.failures] == [(1000.0, 500.0)]


def test_drift_is_judged_where_there_is_a_reference_and_enough_rows(tmp_path: Path) -> None:
    config = _config(tmp_path, drift="[{name: moved, psi: 0.2, min_rows: 100}, {name: js, js: 0.5}]")
    rows = _whole(config)
    rows[0] |= {"psi": 0.3, "js": 0.6}
    rows[1] |= {"psi": 0.3, "rows": 99}
    rows[2] |= {"psi": 0.2}
    write_coverage(config, rows)
    assert sorted(_failed(judge(config, DAY))) == [
        ("js", rows[0]["feature"], "all", "all", 0.6),
        ("moved", rows[0]["feature"], "all", "all", 0.3),
    ]


def test_since_is_the_first_of_the_days_in_a_row(tmp_path: Path) -> None:
    config = _config(tmp_path, floors="[{name: low, feature: context_hour, at_least: 0.9}]")
    days = [DAY - timedelta(days=back) for back in (4, 3, 2, 1, 0)]
    low = {day: {"null": 0.5} if day != days[1] else {} for day in days}
    write_coverage(config, [row for day in days for row in _whole(config, day, states=low[day])])
    for day in days:
        verdict = judge(config, day)
        store_verdict(config, verdict, revision=1, accepted=None)
    assert [f.since for f in verdict.failures] == [days[2]]


@pytest.mark.parametrize(
    ("rules", "found", "wanted"),
    [
        ({"floors": "[{feature: user_clik_count_7d, at_least: 0.5}]"}, "user_clik_count_7d", "user_click_count_7d"),
        ({"floors": "[{feature: '*', group: nobody, at_least: 0.5}]"}, "nobody", "declared"),
        ({"floors": "[{feature: [context_hour, moon], at_least: 0.5}]"}, "moon", "declared"),
        ({"floors": "[{feature: '*', at_least: 0.5, below_median: 0.1}]"}, "at_least and below_median", "one of"),
        ({"floors": "[{feature: '*'}]"}, "no limit", "one of"),
        ({"floors": "[{feature: '*', at_least: 1.5}]"}, "1.5", "less than or equal to 1"),
        ({"ceilings": "[{state: real, at_most: 0.5}]"}, "real", "'no_entity'"),
        ({"rows": "[{slice: planet, at_least: 1}]"}, "planet", "scene"),
        ({"rows": "[{name: a, at_least: 1}, {name: a, at_least: 2}]"}, "['a']", "its own"),
        ({"floors": "[{but_not: moon, at_least: 0.5}]"}, "moon", "declared"),
        ({"drift": "[{psi: 0}]"}, "0", "greater than 0"),
    ],
)
def test_rules_that_cannot_hold_are_refused(tmp_path: Path, rules: dict[str, str], found: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _config(tmp_path, **rules)
    assert found in refused.value.found
    assert wanted in refused.value.wanted


def test_hostile_names_are_judged_like_any_other(tmp_path: Path) -> None:
    config = _config(tmp_path, floors='[{name: "it\'s </b> \\"x\\"", slice: scene, at_least: 0.9}]')
    hostile = ["quo'te", 'quo"te', "`tick`", "a == True", "\u202e", "</script>", ""]
    low = {"slice": "scene", "states": {"null": 0.5}}
    write_coverage(config, [*_whole(config), *(cell(NAMES[0], DAY, value=v, **low) for v in hostile)])
    assert sorted(f.value or "" for f in judge(config, DAY).failures) == sorted(hostile)
