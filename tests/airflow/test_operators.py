"""Operators: what they start, what an exit code becomes, what is in the log, and what is linked."""

import os
import time

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headrace.airflow.commands import Ended, ended_badly
from headrace.airflow.days import TRAINING_SET
from headrace.airflow.operators import HeadraceCommand, JudgingCommand, PublishCommand, SparkStep

CONTEXT = {"run_id": "manual__2024-05-20"}
SAID = "coverage\n  found:  0.2\n  wanted: 0.9\n  do:     mend item_profile"


def command(**arguments):
    return HeadraceCommand(task_id="gates", command=["gates", "--ds", "2024-05-20"], ds="2024-05-20", **arguments)


def step(**arguments):
    return SparkStep(task_id="tiles", step="tiles", ds="2024-05-20", **arguments)


def test_a_step_is_submitted_with_its_day_scope_group_jars_and_run(programs, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_LOG", "json")
    step(scope="publish", group="user").execute(CONTEXT)
    (call,) = programs.calls
    job = next(n for n, one in enumerate(call["arguments"]) if one.endswith("/jobs/tiles.py"))
    submitted, given = call["arguments"][:job], call["arguments"][job + 1 :]
    assert given == [
        *("--config", str(tmp_path / "c.yaml"), "--ds", "2024-05-20", "--scope", "publish", "--group", "user")
    ]
    assert submitted[:2] == ["--master", "local[2]"]
    assert submitted[submitted.index("--packages") + 1] == "io.delta:delta-spark_4.1_2.13:4.4.0"
    assert call["HEADRACE_LOG"] == "json"
    assert call["HEADRACE_RUN_ID"].endswith("/user")
    assert call["PYSPARK_PYTHON"] == str(programs.bin / "python")


def test_a_step_leaves_the_environment_of_the_worker_as_it_was(programs):
    before = dict(os.environ)
    step().execute(CONTEXT)
    assert dict(os.environ) == before


@pytest.mark.parametrize("code", [2, 3, 4])
@pytest.mark.parametrize("kind", ["command", "step"])
def test_an_exit_code_that_another_try_cannot_change_is_final_and_its_message_is_whole(programs, code, kind):
    programs.answer({"command": "gates", "step": "tiles"}[kind], (code, SAID))
    task = command() if kind == "command" else step()
    with pytest.raises(AirflowFailException) as failed:
        task.execute(CONTEXT)
    assert f"exit code {code}" in str(failed.value)
    assert [line.strip() for line in str(failed.value).splitlines()][-4:] == [one.strip() for one in SAID.splitlines()]


@pytest.mark.parametrize("code", [1, 137])
@pytest.mark.parametrize("kind", ["command", "step"])
def test_a_bug_or_a_lost_machine_is_retried(programs, code, kind):
    programs.answer({"command": "gates", "step": "tiles"}[kind], (code, "Traceback: lost executor 3"))
    with pytest.raises(AirflowException, match="lost executor 3") as failed:
        (command() if kind == "command" else step()).execute(CONTEXT)
    assert not isinstance(failed.value, AirflowFailException)
    assert f"exit code {code}" in str(failed.value)


@pytest.mark.parametrize("kind", ["command", "step"])
def test_a_failure_says_the_error_and_not_what_spark_said_before_it(programs, kind):
    programs.answer(
        {"command": "gates", "step": "tiles"}[kind], (4, f"26/05/20 WARN Utils: noise\nerror InputError: {SAID}")
    )
    with pytest.raises(AirflowFailException) as failed:
        (command() if kind == "command" else step()).execute(CONTEXT)
    assert "noise" not in str(failed.value)
    assert str(failed.value).splitlines()[1] == "error InputError: coverage"


def test_every_line_of_a_command_is_in_the_log(programs, monkeypatch):
    programs.answer("gates", (0, SAID))
    task, lines = command(), []
    monkeypatch.setattr(task.log, "info", lambda text, *parts: lines.append(text % parts if parts else text))
    task.execute(CONTEXT)
    assert [one for one in SAID.splitlines() if one not in lines] == []


def test_the_feature_groups_are_the_list_that_tasks_are_mapped_over(programs):
    task = HeadraceCommand(task_id="groups", command=["features", "groups", "--json"], read_json=True, ds="2024-05-20")
    assert task.execute(CONTEXT) == ["user", "item"]
    assert programs.calls[0]["arguments"][-2] == "--config"
    assert programs.calls[0]["HEADRACE_RUN_ID"] == "manual__2024-05-20/groups"


def test_the_folder_of_the_pages_is_made_before_the_command_writes_there(programs, tmp_path):
    command(folder=str(tmp_path / "new" / "reports")).execute(CONTEXT)
    assert (tmp_path / "new" / "reports").is_dir()


def test_a_killed_task_ends_its_program(programs):
    programs.answer("gates", ("hang", "working"))
    task = command()
    monkey = iter([None])

    def stop_at_the_first_line(text, *parts):
        if text == "working" and next(monkey, 1) is None:
            task.on_kill()

    task.log.info, kept = stop_at_the_first_line, task.log.info
    began = time.monotonic()
    with pytest.raises(AirflowException, match="exit code -15"):
        task.execute(CONTEXT)
    task.log.info = kept
    assert time.monotonic() - began < 20


def test_a_missing_program_is_a_final_failure_that_says_where_it_was_looked_for(programs):
    (programs.bin / "headrace").unlink()
    with pytest.raises(AirflowFailException, match=str(programs.bin / "headrace")):
        command().execute(CONTEXT)


class Extra:
    extra: dict


def test_publishing_tells_the_asset_which_day_it_was(programs):
    events = {TRAINING_SET: Extra()}
    task = PublishCommand(task_id="publish", command=["publish", "--ds", "2024-05-20"], ds="2024-05-20")
    task.execute({**CONTEXT, "outlet_events": events})
    assert events[TRAINING_SET].extra == {"ds": "2024-05-20"}


def test_a_refused_day_tells_nobody(programs):
    programs.answer("publish", (3, SAID))
    events = {TRAINING_SET: Extra()}
    task = PublishCommand(task_id="publish", command=["publish", "--ds", "2024-05-20"], ds="2024-05-20")
    with pytest.raises(AirflowFailException):
        task.execute({**CONTEXT, "outlet_events": events})
    assert not hasattr(events[TRAINING_SET], "extra")


def test_tasks_that_judge_a_day_link_to_its_page(programs, monkeypatch):
    task = JudgingCommand(task_id="report", command=["report"], ds="2024-05-20")
    (link,) = task.operator_extra_links
    assert (link.name, link.get_link(task, ti_key=None)) == ("Coverage report", "")
    monkeypatch.setenv("HEADRACE_REPORTS_URL", "https://reports.example.com/coverage/")
    assert link.get_link(task, ti_key=None) == "https://reports.example.com/coverage/2024-05-20.html"


def test_an_error_of_the_json_log_is_told_by_its_message():
    line = '{"at": "x", "event": "error", "message": "error GateError: gates of 2024-05-20\\n  found: one", "level": "error"}'
    failure = ended_badly("publish", Ended(3, ("noise of spark", line)))
    assert "error GateError: gates of 2024-05-20\n  found: one" in str(failure)
    assert "noise" not in str(failure)
