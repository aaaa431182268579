"""Both DAGs: they load, and they are the chain that headrace.steps defines."""

import subprocess
import sys
import warnings
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowFailException

from headrace.airflow.callbacks import report_failure
from headrace.airflow.days import TRAINING_SET, business_day, published_day
from headrace.airflow.drawing import base_steps
from headrace.airflow.operators import SparkStep
from headrace.steps import SIDE_STEPS, STEPS
from tests.airflow.conftest import ROOT


@pytest.fixture(scope="module")
def dags():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    assert [str(one.message) for one in warned if "headrace" in str(one.filename) or "dags" in str(one.filename)] == []
    return bag.dags


@pytest.fixture(scope="module")
def night(dags):
    return dags["headrace_nightly"]


def before(dag, task_id):
    """Every task that must have ended well before `task_id` starts."""
    return dag.get_task(task_id).get_flat_relative_ids(upstream=True)


def test_both_dags_load_without_an_error_or_a_warning(dags):
    assert set(dags) == {"headrace_nightly", "headrace_train"}


@pytest.mark.parametrize("dag_id", ["headrace_nightly", "headrace_train"])
def test_a_dag_file_loads_where_neither_spark_nor_a_network_nor_a_database_is(dag_id):
    code = (
        "import socket, sqlite3, sys\n"
        "def refused(*a, **k): raise SystemExit('touched a network or a database')\n"
        f"sys.path[:0] = [{str(ROOT / 'dags')!r}]\n"
        "import airflow.sdk, airflow.providers.apache.spark.operators.spark_submit\n"
        "socket.socket.connect = refused; sqlite3.connect = refused\n"
        f"import {dag_id}\n"
        "print([name for name in ('pyspark', 'delta', 'torch') if name in sys.modules])\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (shown.returncode, shown.stdout.strip()) == (0, "[]"), shown.stderr


def test_a_wrong_setting_does_not_hide_the_dags(monkeypatch):
    monkeypatch.setenv("HEADRACE_CRON", "every night")
    monkeypatch.setenv("HEADRACE_RETRIES", "many")
    bag = DagBag(ROOT / "dags")
    assert (bag.import_errors, set(bag.dags)) == ({}, {"headrace_nightly", "headrace_train"})


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_of_the_chain_is_a_task_after_the_steps_that_it_follows(night, step):
    ahead = before(night, f"training_day.{step.name}")
    assert {f"training_day.{name}" for name in step.after} <= ahead
    assert "mature" in ahead


@pytest.mark.parametrize("step", base_steps(), ids=lambda step: step.name)
def test_every_step_that_needs_the_day_alone_is_a_task_before_labels_are_mature(night, step):
    ahead = before(night, f"day.{step.name}")
    assert {f"day.{name}" for name in step.after} <= ahead
    assert "landed" in ahead
    assert "mature" not in ahead


def test_steps_beside_the_chain_are_built_with_the_day_and_hold_nothing_up(night):
    assert {step.name for step in base_steps()} == {"ingest", "tiles", "stats", "state"}
    for step in SIDE_STEPS:
        assert night.get_task(f"day.{step.name}").downstream_task_ids == set()


def test_a_grouped_step_is_a_mapped_job_in_the_pool_of_groups_and_a_join_without_spark(night):
    grouped = [f"day.{step.name}" for step in base_steps() if step.grouped]
    assert len(grouped) == 3
    for name in [*grouped, "training_day.tiles"]:
        mapped, joined = night.get_task(f"{name}_by_group"), night.get_task(name)
        assert mapped.is_mapped
        assert (mapped.operator_class, mapped.pool) == (SparkStep, "headrace_groups")
        assert joined.upstream_task_ids == {mapped.task_id}
        assert (joined.command[0], joined.pool) == (name.partition(".")[2], "headrace_chain")


def test_steps_that_write_shared_tables_take_turns(night):
    writing = [f"training_day.{step.name}" for step in STEPS] + [f"day.{step.name}" for step in base_steps()]
    assert {night.get_task(name).pool for name in writing} == {"headrace_chain"}


def test_the_gates_stand_between_coverage_and_publishing_and_the_page_is_made_all_the_same(night):
    gates, report = night.get_task("training_day.gates"), night.get_task("training_day.report")
    assert gates.upstream_task_ids == report.upstream_task_ids == {"training_day.coverage"}
    assert night.get_task("training_day.publish").upstream_task_ids == {
        "training_day.sample",
        "training_day.coverage",
        "training_day.gates",
    }
    assert gates.retries == 0


def test_scopes_are_history_for_what_side_steps_read_and_publish_for_the_training_day(night):
    def scope(name):
        task = night.get_task(name)
        if task.is_mapped:
            return task.partial_kwargs["scope"]
        arguments = getattr(task, "application_args", None) or task.command
        return arguments[arguments.index("--scope") + 1]

    assert {scope(f"day.{name}") for name in ("ingest", "tiles_by_group", "tiles")} == {"history"}
    assert {scope(f"day.{name}") for name in ("stats_by_group", "stats", "state_by_group", "state")} == {"day"}
    wanted = ("ingest", "tiles_by_group", "tiles", "labels", "sample", "features", "coverage")
    assert {scope(f"training_day.{name}") for name in wanted} == {"publish"}


def test_every_task_is_tried_again_with_a_longer_wait_has_a_limit_and_says_that_it_failed(dags):
    for dag in dags.values():
        for task in dag.tasks:
            assert task.retries == (0 if task.task_id.endswith(".gates") else 3), task.task_id
            assert task.retry_exponential_backoff == 2.0
            assert task.execution_timeout.total_seconds() == 6 * 3600
            assert task.on_failure_callback in (report_failure, [report_failure])


def test_days_may_wait_for_their_labels_side_by_side_and_none_is_caught_up(night):
    assert (night.catchup, night.max_active_runs) == (False, 16)


def test_a_published_day_starts_the_training(dags):
    assert dags["headrace_nightly"].get_task("training_day.publish").outlets == [TRAINING_SET]
    assert TRAINING_SET.uri in str(dags["headrace_train"].timetable.asset_condition)
    assert dags["headrace_train"].get_task("evaluate").upstream_task_ids == {"train"}


class Run:
    def __init__(self, start, after=None):
        self.data_interval_start, self.run_after = start, after


def test_the_day_is_the_start_of_the_interval_in_the_business_timezone(monkeypatch):
    start = datetime(2024, 5, 20, 3, tzinfo=ZoneInfo("Asia/Tokyo")).astimezone(UTC)
    assert start.date().isoformat() == "2024-05-19"
    monkeypatch.setenv("HEADRACE_TIMEZONE", "Asia/Tokyo")
    assert business_day(Run(start), {}) == "2024-05-20"
    assert business_day(Run(start), {"ds": "2024-01-31"}) == "2024-01-31"


def test_a_run_by_hand_without_an_interval_builds_the_day_before(monkeypatch):
    monkeypatch.setenv("HEADRACE_TIMEZONE", "Europe/Berlin")
    assert business_day(Run(None, datetime(2024, 3, 31, 23, tzinfo=UTC)), {}) == "2024-03-31"


def test_a_wrong_day_is_refused_for_good():
    with pytest.raises(AirflowFailException, match="wanted: a day"):
        business_day(Run(None), {"ds": "tomorrow"})


class Event:
    def __init__(self, ds):
        self.extra = {"ds": ds}


def test_training_takes_the_newest_day_of_the_events_or_the_parameter():
    events = {TRAINING_SET: [Event("2024-05-20"), Event("2024-05-19")]}
    assert published_day(events, {}) == "2024-05-20"
    assert published_day(events, {"ds": "2024-05-01"}) == "2024-05-01"
    with pytest.raises(AirflowFailException, match="no day to train on"):
        published_day({}, {})
