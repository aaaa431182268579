"""A deferrable sensor: has a day landed, and are its labels mature?"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator

from headrace.airflow.commands import Ended, Program, ended_badly, environment
from headrace.airflow.days import DAY
from headrace.airflow.settings import checked, settings
from headrace.airflow.triggers import WAIT, LandedTrigger

__all__ = ["LandedSensor"]

_CARRIED = ("PATH", "HEADRACE_RUN_ID", "HEADRACE_LOG", "COLUMNS")


class LandedSensor(BaseSensorOperator):
    """Looks once, and if the answer is "not yet" leaves its slot and lets the triggerer look again.

    Parameters
    ----------
    mature : bool
        Wait until landing holds all days that the labels need, not only the day itself.
    hours : float
        Longest wait.
    """

    template_fields: Sequence[str] = ("ds",)

    def __init__(self, *, mature: bool = False, hours: float, ds: str = DAY, **arguments: Any) -> None:
        super().__init__(timeout=timedelta(hours=hours), poke_interval=settings().number("POLL_S"), **arguments)
        self.mature = mature
        self.ds = ds

    def execute(self, context: Any) -> None:
        """Look now; defer on "not yet"."""
        found = checked()
        command = [str(found.path("BIN") / "headrace"), "landed", "--config", found.text("CONFIG"), "--ds", self.ds]
        command += ["--mature"] if self.mature else []
        variables = environment(found, run_id=f"{context['run_id']}/{self.task_id}")
        ended = Program(command, env=variables).follow(self.log.info)
        if ended.code == WAIT:
            trigger = LandedTrigger(
                command,
                poll_s=self.poke_interval,
                said="\n".join(ended.lines).strip(),
                variables={name: variables[name] for name in _CARRIED if name in variables},
            )
            self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=self.timeout))
        self._judge(ended)

    def resume(self, context: Any, event: dict[str, Any]) -> None:
        """What the trigger found."""
        self.log.info(event["message"])
        self._judge(Ended(event["code"], tuple(event["message"].splitlines())))

    def _judge(self, ended: Ended) -> None:
        if ended.code:
            raise ended_badly(f"headrace landed --ds {self.ds}", ended)
