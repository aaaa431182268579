"""Settings: defaults, wrong values, and the table that documents them."""

import re

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from airflow.sdk.exceptions import AirflowFailException

from headrace.airflow.settings import SETTINGS, checked, settings
from tests.airflow.conftest import ROOT


def test_every_default_is_a_right_value():
    assert settings({}).problems == ()


def test_programs_and_configuration_follow_the_home():
    found = settings({"HEADRACE_HOME": "/bundle"})
    assert found.text("BIN") == "/bundle/.venv/bin"
    assert found.text("CONFIG") == "/bundle/conf/local.yaml"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRON", "every night"),
        ("TIMEZONE", "Europe/Nowhere"),
        ("RETRIES", "three"),
        ("ACTIVE_DAYS", "0"),
        ("STEP_HOURS", "-1"),
        ("START", "yesterday"),
        ("LOG", "xml"),
    ],
)
def test_a_wrong_value_is_named_and_its_default_stands_in(name, value):
    found = settings({f"HEADRACE_{name}": value})
    assert found.values == settings({}).values
    assert [value in problem and f"HEADRACE_{name}" in problem for problem in found.problems] == [True]


def test_a_wrong_address_is_named_and_not_shown_for_it_may_hold_a_secret():
    (problem,) = settings({"HEADRACE_FAILURE_URL": "hooks.example.com/T0/hunter2"}).problems
    assert "HEADRACE_FAILURE_URL" in problem and "hunter2" not in problem


def test_no_retries_may_be_asked_for():
    assert settings({"HEADRACE_RETRIES": "0"}).count("RETRIES") == 0


def test_a_wrong_value_fails_the_task_that_runs_and_says_what_was_found_and_wanted(programs, monkeypatch):
    monkeypatch.setenv("HEADRACE_CRON", "every night")
    with pytest.raises(AirflowFailException, match=r"HEADRACE_CRON: found 'every night', wanted a cron expression"):
        checked()


def test_a_missing_program_is_named(programs):
    (programs.bin / "spark-submit").unlink()
    checked()
    with pytest.raises(AirflowFailException, match=r"HEADRACE_BIN \(spark-submit\): found nothing at"):
        checked(needed=("headrace", "spark-submit"))


def test_the_documentation_lists_every_setting_with_its_default_and_meaning():
    text = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `HEADRACE_([A-Z_]+)` \|(.*)$", text, re.MULTILINE))
    assert set(listed) == {one.name for one in SETTINGS}
    for one in SETTINGS[1:]:
        assert one.meaning in listed[one.name], one.name
        assert not one.default or f"`{one.default}`" in listed[one.name], one.name
