"""A driver that is killed at a named place: `python -m tests.killed ROOT LANDING PLACE`, in a process group of its own.

At the place the whole group dies by SIGKILL: driver and JVM, as when a machine goes. What was reached is noted first.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any

from tests.conftest import FIRST, LAST, config_of

__all__ = ["HIT", "PLACES", "Place", "day_of"]

HIT = "killed-at"


@dataclass(frozen=True)
class Place:
    """A call of `step` that is not survived: before it begins, or once it has ended.

    `call` names what is called, `module:attribute`; without, it is the first file that a task begins in `table`.
    """

    step: str
    call: str = ""
    after: bool = False
    table: str = ""


PLACES = {
    "ingest wrote one of its tables": Place("ingest", "headrace.writing:write_frame", after=True),
    "sample wrote one of its tables": Place("sample", "headrace.writing:write_frame", after=True),
    "tasks write files": Place("features", table="training_set"),
    "files are written, their commit is not": Place("features", "headrace.writing:replace_files"),
    "a commit is made, its receipt is not": Place("features", "headrace.writing:check_alone"),
    "the step is whole but for its receipt": Place("coverage", "headrace.chain:write_receipts"),
    "the receipt is written, nothing is published": Place("coverage", "headrace.chain:write_receipts", after=True),
    "publish kept the manifest and has no receipt": Place("publish", "headrace.publishing:store_manifest", after=True),
    "the state of one group is written": Place("state", "headrace.writing:replace_files", after=True),
}


def day_of(step: str) -> date:
    """The day that is built: the last; states start with the first day of history."""
    return FIRST if step == "state" else LAST


_ONCE = threading.Lock()  # tables are written at once, and one death is enough


def _die(root: Path, place: str) -> None:
    _ONCE.acquire()
    with (root.parent / HIT).open("a") as noted:
        noted.write(place + "\n")
        noted.flush()
        os.fsync(noted.fileno())
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _lay(root: Path, name: str, place: Place) -> None:
    """Make the place deadly."""
    if place.table:
        threading.Thread(target=_await_file, args=(root, name, place.table), daemon=True).start()
        return
    module, attribute = place.call.split(":")
    owner = importlib.import_module(module)
    real: Callable[..., Any] = getattr(owner, attribute)

    @wraps(real)
    def deadly(*arguments: Any, **named: Any) -> None:
        if place.after:
            real(*arguments, **named)
        _die(root, name)

    setattr(owner, attribute, deadly)


def _await_file(root: Path, name: str, table: str) -> None:
    before = set((root / table).rglob("*.parquet"))
    while not set((root / table).rglob("*.parquet")) - before:
        time.sleep(0.002)
    _die(root, name)


def main(root: str, landing: str, name: str) -> None:
    """Build the day of the place's step again, to the place."""
    from headrace.chain import run_step
    from headrace.steps import step_named
    from tests.session import tiny_session

    place = PLACES[name]
    config = config_of(Path(root).parent, f"landing={landing}")
    importlib.import_module(f"jobs.{place.step}")
    _lay(Path(root), name, place)
    day = day_of(place.step)
    run_step(tiny_session, config, step_named(place.step), days=[day], rebuild=[day])


if __name__ == "__main__":
    main(*sys.argv[1:])
