"""Operators: a step by spark-submit, a command of Headrace, and the commands that judge a day and publish it."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from headrace.airflow.commands import Ended, Program, ended_badly, environment
from headrace.airflow.days import DAY, TRAINING_SET
from headrace.airflow.links import CoverageReportLink
from headrace.airflow.settings import checked, settings

__all__ = ["HeadraceCommand", "JudgingCommand", "PublishCommand", "SparkStep"]

_RUN_ID = "{{ run_id }}/{{ task.task_id }}"
_CODE = re.compile(r"Error code is: (-?\d+)")


class SparkStep(SparkSubmitOperator):
    """One step of a day as `spark-submit jobs/<step>.py`.

    Parameters
    ----------
    step : str
        Name of the job.
    scope : day, history or publish
        Which days it builds.
    group : str, optional
        The feature group to build alone.
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "ds")

    def __init__(
        self, *, step: str, scope: str = "day", group: str | None = None, ds: str = DAY, **arguments: Any
    ) -> None:
        found = settings()
        wanted = ["--config", found.text("CONFIG"), "--ds", ds, "--scope", scope]
        variables = {"HEADRACE_RUN_ID": _RUN_ID + (f"/{group}" if group else "")}
        super().__init__(
            application=str(found.path("HOME") / "jobs" / f"{step}.py"),
            application_args=[*wanted, "--group", group] if group else wanted,
            name=f"headrace {step} {ds}",
            conn_id=found.text("SPARK_CONNECTION"),
            packages=None if found.text("SPARK_PACKAGES") == "none" else found.text("SPARK_PACKAGES"),
            driver_memory=found.text("SPARK_MEMORY"),
            properties_file=found.text("SPARK_PROPERTIES") or None,
            spark_binary=str(found.path("BIN") / "spark-submit"),
            env_vars=variables | ({"HEADRACE_LOG": found.text("LOG")} if found.text("LOG") else {}),
            **arguments,
        )
        self.step = step
        self.group = group
        self.ds = ds

    def execute(self, context: Any) -> None:
        """Submit, and turn the exit code into a failure that is retried or not."""
        found = checked(needed=("headrace", "spark-submit"))
        packed = found.path("HOME") / "headrace.zip"
        if (
            not getattr(self, "py_files", None) and packed.is_file()
        ):  # a cluster's executors have no Headrace of their own
            self.py_files = str(packed)
        try:
            with _variables(environment(found, run_id=self.env_vars["HEADRACE_RUN_ID"])):
                super().execute(context)
        except AirflowException as error:
            # The provider says the code in its message only, and after it the last lines of the job.
            said = _CODE.search(str(error))
            if said is None:
                raise
            lines = tuple(str(error)[said.end() :].lstrip(". \n").splitlines())
            raise ended_badly(f"{self.step} of {self.ds}", Ended(int(said.group(1)), lines)) from None


class HeadraceCommand(BaseOperator):
    """One command of Headrace, without Spark or with a session of its own where something must be built.

    Parameters
    ----------
    command : list of str
        What follows `headrace`; `--config` is added.
    read_json : bool
        Return the last line, read as JSON.
    folder : str, optional
        Made before the command starts: where it writes.
    """

    template_fields: Sequence[str] = ("command", "ds")

    def __init__(
        self,
        *,
        command: Sequence[str],
        read_json: bool = False,
        folder: str | None = None,
        ds: str = DAY,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.folder = folder
        self.command = list(command)
        self.read_json = read_json
        self.ds = ds
        self._program: Program | None = None

    def execute(self, context: Any) -> Any:
        """Run it; every line it prints is in the task's log."""
        found = checked()
        if self.folder:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        whole = [str(found.path("BIN") / "headrace"), *self.command, "--config", found.text("CONFIG")]
        self.log.info("%s", " ".join(whole))
        self._program = Program(whole, env=environment(found, run_id=f"{context['run_id']}/{self.task_id}"))
        ended = self._program.follow(self.log.info)
        if ended.code:
            raise ended_badly(f"headrace {self.command[0]} of {self.ds}", ended)
        return json.loads(ended.lines[-1]) if self.read_json else None

    def on_kill(self) -> None:
        """Stop the program and what it started."""
        if self._program is not None:
            self._program.stop()


class JudgingCommand(HeadraceCommand):
    """A command about a day's coverage: its page links to the report."""

    operator_extra_links = (CoverageReportLink(),)

    def execute(self, context: Any) -> Any:
        """Run it, and end the log with where the page is, however it ended."""
        try:
            return super().execute(context)
        finally:
            if address := CoverageReportLink().get_link(self, ti_key=None):
                self.log.info("Coverage report: %s", address)


class PublishCommand(JudgingCommand):
    """Publishes the day and says so to whom waits for the training set."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(outlets=[TRAINING_SET], **arguments)

    def execute(self, context: Any) -> None:
        """Publish; the event of the asset holds the day."""
        super().execute(context)
        context["outlet_events"][TRAINING_SET].extra = {"ds": self.ds}


@contextmanager
def _variables(wanted: dict[str, str]) -> Iterator[None]:
    """Set this process's environment, which spark-submit inherits whatever the master, and put it back."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
