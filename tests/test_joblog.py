"""What a run says: lines for people or JSON for machines, its stages, and what it cost."""

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from headrace.job import main, main_nightly
from headrace.chain import StepOutcome
from headrace.cli import app
from headrace.config.load import conf_dir
from headrace.costs import spark_costs, stages_of
from headrace.errors import ConfigError, InputError
from headrace.joblog import JobLog, log_in, open_log, refusing, run_id
from headrace.progress import StageNews, watched_stages
from headrace.receipt import Receipt
from headrace.summary import cost_table, costs_of

DAY = date(2024, 5, 1)
THEN = datetime(2024, 5, 1, 3, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("HEADRACE_LOG", "text")
    monkeypatch.setenv("HEADRACE_RUN_ID", "night-1")


def told(form, *arguments, **facts) -> str:
    out = io.StringIO()
    JobLog(Console(file=out, width=100), form).tell(*arguments, **facts)
    return out.getvalue()


def test_text_is_what_a_person_reads():
    assert told("text", "step_done", "[bold]tiles[/] built", job="tiles") == "tiles built\n"


def test_json_is_one_object_a_line_with_run_job_and_day():
    line = json.loads(told("json", "step_done", "[bold]tiles[/]", plain="tiles done", job="tiles", ds=DAY, rows_out=7))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info", "run_id": "night-1", "event": "step_done", "message": "tiles done", "job": "tiles",
        "ds": "2024-05-01", "rows_out": 7,
    }  # fmt: skip


def test_json_of_a_table_is_its_facts_and_not_its_drawing():
    text = told("json", "costs", Table(title="What it cost"), steps=[{"step": "tiles"}])
    assert text.count("\n") == 1
    assert json.loads(text)["steps"] == [{"step": "tiles"}]


def test_an_unknown_form_is_an_error_of_arguments(monkeypatch):
    with pytest.raises(ConfigError, match="wanted: text or json"):
        log_in("xml")


def test_a_run_id_given_by_a_scheduler_stands():
    assert run_id() == "night-1"


def test_a_run_id_is_made_once_a_process(monkeypatch):
    monkeypatch.delenv("HEADRACE_RUN_ID")
    assert run_id() == run_id() != ""


def test_an_expected_error_ends_the_process_with_its_code_and_one_json_line(capsys, monkeypatch):
    monkeypatch.setenv("HEADRACE_LOG", "json")
    with pytest.raises(SystemExit) as ended, refusing():
        raise InputError("landing", found="nothing", wanted="a day", remedy="wait")
    assert ended.value.code == 4
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["exit_code"], line["remedy"]) == ("error", "error", 4, "wait")


@pytest.mark.parametrize("arguments", [["--log", "xml"], ["--config", "no-such.yaml"]])
def test_jobs_end_with_2_for_wrong_arguments(arguments, capsys):
    given = {"--config": "no-such.yaml", "--ds": "2024-05-01"} | dict([arguments])
    for start in (lambda a: main("tiles", a), main_nightly):
        with pytest.raises(SystemExit) as ended:
            start([text for pair in given.items() for text in pair])
        assert ended.value.code == 2
        assert "wanted" in capsys.readouterr().err


def test_a_span_that_begins_before_the_calendar_is_an_error_of_arguments(capsys):
    with pytest.raises(SystemExit) as ended:
        main("tiles", ["--config", str(conf_dir() / "local.yaml"), "--ds", "2024-05-01", "--days", "900000"])
    assert ended.value.code == 2
    assert "--days" in capsys.readouterr().err


def test_a_group_is_an_option_of_the_steps_that_have_groups_alone():
    for name, offered in (("tiles", True), ("state", True), ("stats", True), ("labels", False), ("publish", False)):
        assert ("--group" in CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output) is offered


def test_groups_are_listed_for_schedulers():
    listed = CliRunner().invoke(app, ["features", "groups", "--json"])
    assert json.loads(listed.output)[0] == "user"


def test_text_is_the_default(monkeypatch):
    monkeypatch.delenv("HEADRACE_LOG")
    assert open_log(Console()).form == "text"


STAGE = {
    "submissionTime": "2024-05-01T03:00:00.000GMT", "status": "COMPLETE", "numCompleteTasks": 3, "numFailedTasks": 1, "executorRunTime": 6000,
    "inputBytes": 10, "shuffleWriteBytes": 20, "diskBytesSpilled": 30,
    "peakExecutorMetrics": {"ProcessTreePythonRSSMemory": 500},
    "taskMetricsDistributions": {"executorRunTime": [1000.0, 4000.0]},
}  # fmt: skip


def session_of(context: SimpleNamespace) -> Any:
    return SimpleNamespace(sparkContext=context)


PAGE = session_of(SimpleNamespace(uiWebUrl="http://127.0.0.1:1", applicationId="app-1"))


def answer_of(stages: list) -> Any:
    return SimpleNamespace(raise_for_status=lambda: None, json=lambda: stages)


def test_costs_are_summed_over_the_stages_of_the_step_alone(monkeypatch):
    other = STAGE | {"executorRunTime": 500, "peakExecutorMetrics": {"ProcessTreePythonRSSMemory": 900}}
    earlier, running = STAGE | {"submissionTime": "2024-05-01T02:59:59.999GMT"}, STAGE | {"status": "ACTIVE"}
    monkeypatch.setattr("requests.Session.get", lambda *_, **__: answer_of([earlier, STAGE, other, running]))
    assert spark_costs(stages_of(PAGE, since=THEN)) == {
        "stages": 2, "tasks": 6, "failed_tasks": 2, "executor_s": 6.5, "read_bytes": 20, "shuffle_bytes": 40,
        "spill_bytes": 60, "skew": 4.0, "python_peak_bytes": 900,
    }  # fmt: skip


def test_stages_of_one_task_have_no_skew():
    assert spark_costs([STAGE | {"numCompleteTasks": 1}])["skew"] == 1.0


def test_a_step_without_stages_costs_nothing_that_spark_knows():
    assert spark_costs([]) == {}


def test_a_session_without_a_page_is_not_asked():
    assert stages_of(None, since=THEN) == []
    assert stages_of(session_of(SimpleNamespace(uiWebUrl=None)), since=THEN) == []


def test_an_answer_of_another_make_is_passed_over(monkeypatch):
    monkeypatch.setattr("requests.Session.get", lambda *_, **__: answer_of([{"status": "COMPLETE", "stageId": 1}]))
    assert stages_of(PAGE, since=THEN) == []


def test_a_page_that_does_not_answer_fails_no_build():
    assert stages_of(PAGE, since=THEN) == []


def test_the_cost_table_has_a_dash_where_spark_was_not_asked():
    receipt = Receipt(
        "publish", DAY, rows_in=5, rows_out=5, notes={"cost": json.dumps({"days": 1, "bytes_out": 1 << 20})}
    )
    outcome = StepOutcome("publish", [DAY], [], 1.5, [receipt, replace(receipt, notes={})])
    (cost,) = costs_of([outcome])
    assert (cost["rows_out"], cost["bytes_out"], cost["seconds"]) == (5, 1 << 20, 1.5)
    out = io.StringIO()
    Console(file=out, width=140).print(cost_table([cost]))
    row = next(line for line in out.getvalue().splitlines() if "publish" in line)
    assert row.split() == ["publish", "1.5", "5", "5", "1.0", "-", "-", "-", "-", "-"]


class Tracker:
    """A status tracker whose stage 7 runs for a while and ends with a failed task."""

    def __init__(self):
        self.looks = 0

    def getActiveStageIds(self):
        self.looks += 1
        return [7] if self.looks < 3 else []

    def getStageInfo(self, stage):
        return SimpleNamespace(numTasks=4, numCompletedTasks=min(self.looks, 4), numFailedTasks=1)


def test_a_stage_with_failed_tasks_is_told_of_when_it_ends(monkeypatch):
    monkeypatch.setattr("headrace.progress._EVERY_S", 0.01)
    heard: list[StageNews] = []
    tracker = Tracker()
    with watched_stages(session_of(SimpleNamespace(statusTracker=lambda: tracker)), heard.append):
        while not heard:
            pass
    assert heard[0]._replace(seconds=0) == StageNews(stage=7, done=3, tasks=4, failed=1, seconds=0, ended=True)
