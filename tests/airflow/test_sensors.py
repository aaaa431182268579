"""The sensor looks once at once; the trigger looks on, says what changes, and ends with what it found."""

import asyncio
import os
import time

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string

from headrace.airflow.sensors import LandedSensor
from headrace.airflow.triggers import LandedTrigger

CONTEXT = {"run_id": "manual__2024-05-20"}


def sensor(**arguments):
    return LandedSensor(task_id="landed", hours=1, ds="2024-05-20", **arguments)


def trigger(programs, *, poll_s=0.01, said=""):
    command = [str(programs.bin / "headrace"), "landed", "--ds", "2024-05-20"]
    return LandedTrigger(command, poll_s=poll_s, said=said, variables={"HEADRACE_RUN_ID": "run/landed"})


async def first_event(one):
    async for event in one.run():
        return event.payload


def test_a_day_that_has_landed_defers_nothing(programs):
    assert sensor().execute(CONTEXT) is None
    assert programs.calls[0]["arguments"][-2:] == ["--ds", "2024-05-20"]


def test_maturity_is_asked_for_by_an_option(programs):
    sensor(mature=True).execute(CONTEXT)
    assert programs.calls[0]["arguments"][-1] == "--mature"


def test_a_day_that_has_not_landed_defers_with_what_was_said_and_the_longest_wait(programs):
    programs.answer("landed", (4, "no impressions of 2024-05-20"))
    with pytest.raises(TaskDeferred) as deferred:
        sensor().execute(CONTEXT)
    path, arguments = deferred.value.trigger.serialize()
    assert import_string(path) is LandedTrigger
    assert (arguments["said"], arguments["poll_s"]) == ("no impressions of 2024-05-20", 1.0)
    assert arguments["command"] == [str(programs.bin / "headrace"), *programs.calls[0]["arguments"]]
    assert deferred.value.timeout.total_seconds() == 3600


@pytest.mark.parametrize(
    ("code", "kind"), [(1, AirflowException), (2, AirflowFailException), (3, AirflowFailException)]
)
def test_any_other_answer_fails_the_sensor_at_once_and_when_it_resumes(programs, code, kind):
    programs.answer("landed", (code, "what went wrong"))
    with pytest.raises(kind, match="what went wrong") as failed:
        sensor().execute(CONTEXT)
    assert type(failed.value) is kind
    with pytest.raises(kind, match="what went wrong"):
        sensor().resume(CONTEXT, {"code": code, "message": "what went wrong"})


def test_a_sensor_that_resumes_after_the_day_landed_is_done(programs):
    assert sensor().resume(CONTEXT, {"code": 0, "message": "2024-05-20 has landed"}) is None


def test_the_trigger_waits_while_it_hears_not_yet_and_logs_only_what_changes(programs, monkeypatch):
    programs.answer("landed", (4, "none"), (4, "none"), (4, "half"), (4, "half"), (0, "all there"))
    waiting = trigger(programs, said="none")
    logged: list[str] = []
    monkeypatch.setattr(waiting.log, "info", logged.append)
    found = asyncio.run(first_event(waiting))
    assert found == {"code": 0, "message": "all there"}
    assert len(programs.calls) == 5
    assert logged == ["half"]
    assert programs.calls[0]["HEADRACE_RUN_ID"] == "run/landed"


@pytest.mark.parametrize("code", [1, 2, 3])
def test_the_trigger_hands_any_other_answer_on(programs, code):
    programs.answer("landed", (code, "broken"))
    assert asyncio.run(first_event(trigger(programs))) == {"code": code, "message": "broken"}


def test_a_program_that_the_triggerer_cannot_start_is_an_answer_that_is_retried(programs):
    (programs.bin / "headrace").unlink()
    found = asyncio.run(first_event(trigger(programs)))
    assert found["code"] == 1
    assert str(programs.bin / "headrace") in found["message"]


def test_the_trigger_made_again_from_what_it_serialised_is_the_same(programs):
    path, arguments = trigger(programs, said="none").serialize()
    assert import_string(path)(**arguments).serialize() == (path, arguments)


def test_a_cancelled_trigger_leaves_no_process_behind(programs):
    programs.answer("landed", ("hang", "looking"))

    async def cancelled():
        task = asyncio.create_task(first_event(trigger(programs)))
        while not programs.calls:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    folder = str(programs.bin)
    until = time.monotonic() + 10
    while (left := running(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def running(folder):
    """Processes whose command line names the folder."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as line:
                found += [name] if folder in line.read() else []
        except OSError:
            continue
    return found
