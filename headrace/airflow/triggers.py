"""A trigger that asks `headrace landed` again and again, without a worker's slot."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = ["LandedTrigger"]

WAIT = 4
"""Exit code of `headrace landed` that says: not yet."""


class LandedTrigger(BaseTrigger):
    """Fires when `command` ends with anything but "not yet".

    Parameters
    ----------
    command : list of str
        The program and its arguments, as the sensor ran it.
    poll_s : float
        Seconds between the end of one look and the next.
    said : str
        What the sensor's own look said: only a change is logged.
    variables : dict
        Added to the environment of the triggerer.
    """

    def __init__(self, command: Sequence[str], *, poll_s: float, said: str, variables: dict[str, str]) -> None:
        super().__init__()
        self.command = list(command)
        self.poll_s = poll_s
        self.said = said
        self.variables = variables

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, from which the triggerer makes it again."""
        arguments = {"command": self.command, "poll_s": self.poll_s, "said": self.said, "variables": self.variables}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait first (the sensor has just looked), then look, until there is an answer."""
        while True:
            await asyncio.sleep(self.poll_s)
            code, message = await self._look()
            if code != WAIT:
                yield TriggerEvent({"code": code, "message": message})
                return
            if message != self.said:
                self.log.info(message)
                self.said = message

    async def _look(self) -> tuple[int, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self.variables},
            )
        except OSError as error:
            return 1, f"the triggerer could not start {self.command[0]}: {error}"
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:  # the trigger was cancelled: leave no process behind
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace").strip()
