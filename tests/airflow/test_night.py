"""Whole nights with programs that only pretend: what runs, what is tried again, and what a failure holds back."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from headrace.steps import STEPS
from tests.airflow.nights import run_dag

GROUPS = 2
DAY = "2024-05-20"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setenv("HEADRACE_RETRY_S", "1")
    monkeypatch.setenv("HEADRACE_REPORTS_URL", "http://reports.example.com")


def night(database):
    return run_dag(database, "headrace_nightly", ds=DAY)


def jobs(programs):
    return [call["name"] for call in programs.calls if "--packages" in call["arguments"]]


def test_a_night_waits_for_landing_and_labels_and_runs_every_step_once(programs, quick, database):
    programs.answer("landed", (4, "no impressions"), (0, "landed"), (4, "labels wait"), (0, "mature"))
    found = night(database)
    assert (found.state, set(found.states.values())) == ("success", {"success"}), found.log[-3000:]
    assert len([call for call in programs.calls if call["name"] == "landed"]) == 4
    wanted = {"ingest": 2, "labels": 1, "sample": 1, "features": 1, "coverage": 1}
    wanted |= {"tiles": 2 * GROUPS, "stats": GROUPS, "state": GROUPS}
    assert {name: jobs(programs).count(name) for name in set(jobs(programs))} == wanted
    assert {step.name for step in STEPS if step.spark} <= set(wanted)
    assert set(found.links.values()) == {f"http://reports.example.com/{DAY}.html"}
    assert set(found.links) == {f"training_day.{name}" for name in ("report", "gates", "publish")}
    assert len({call["HEADRACE_RUN_ID"] for call in programs.calls}) == len(programs.calls) - 2  # two looks a sensor


def test_gates_that_refuse_fail_alone_and_hold_back_publishing_alone(programs, quick, database):
    programs.answer("gates", (3, "user_click_count_7d: found 0.2, wanted 0.9"))
    found = night(database)
    assert found.state == "failed"
    assert found.tasks("failed") == {"training_day.gates"}
    assert found.tasks("upstream_failed") == {"training_day.publish"}
    assert found.states["training_day.report"] == "success"
    assert [call["name"] for call in programs.calls].count("gates") == 1
    assert "user_click_count_7d: found 0.2, wanted 0.9" in found.log
    assert f"FAILED headrace_nightly training_day.gates, day {DAY}" in found.log


def test_a_lost_machine_is_tried_again_and_the_night_ends_well(programs, quick, database):
    programs.answer("coverage", (1, "lost executor 3"), (0, "done"))
    found = night(database)
    assert found.state == "success"
    assert jobs(programs).count("coverage") == 2


def test_wrong_arguments_are_not_tried_again(programs, quick, database):
    programs.answer("labels", (2, "found: --scope, wanted: nothing"))
    found = night(database)
    assert (found.state, jobs(programs).count("labels")) == ("failed", 1)
    assert found.tasks("failed") == {"training_day.labels"}


def test_a_step_beside_the_chain_that_fails_is_seen_and_the_day_is_published(programs, quick, database):
    programs.answer("stats", (2, "no such column"))
    found = night(database)
    assert (found.state, found.states["training_day.publish"]) == ("failed", "success")
    assert found.tasks("upstream_failed") == {"day.stats"}


def test_a_model_is_trained_on_the_published_day_and_judged(programs, quick, database, tmp_path):
    found = run_dag(database, "headrace_train", ds=DAY, env={"HEADRACE_MODELS": str(tmp_path / "models")})
    assert (found.state, found.tasks("success")) == ("success", {"train", "evaluate"}), found.log[-3000:]
    train, evaluate = programs.calls
    assert train["arguments"][:5] == ["train", "--ds", DAY, "--out", str(tmp_path / "models" / DAY)]
    assert evaluate["arguments"][:4] == ["evaluate", str(tmp_path / "models" / DAY), "--ds", DAY]
