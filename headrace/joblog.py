"""What a run says as it goes: lines for people, or one JSON object a line for machines, never both.

`--log json`, or HEADRACE_LOG=json in the environment, asks for JSON. Every line of it has `at` (UTC), `level`, `run_id`,
`event` and `message`; lines of a step have `job` and `ds` (the last day; `days` says how many end with it).
"""

import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from threading import Lock
from typing import Any, Literal

from rich.console import Console, RenderableType

from headrace.errors import ConfigError, HeadraceError

__all__ = ["JobLog", "asked_form", "log_in", "open_log", "refusing", "run_id", "span_of"]

Form = Literal["text", "json"]
_FORM, _RUN_ID = "HEADRACE_LOG", "HEADRACE_RUN_ID"
_writing = Lock()


def log_in(form: str | None, *, run: str | None = None) -> None:
    """Set how this process and what it starts will log, and under which run id.

    Raises
    ------
    ConfigError
        No such form.
    """
    for name, value in ((_FORM, form), (_RUN_ID, run)):
        if value is not None:
            os.environ[name] = value
    asked_form()


def asked_form() -> Form:
    """The form asked for; ConfigError where there is none such."""
    form = os.environ.get(_FORM, "text") or "text"
    if form not in ("text", "json"):
        raise ConfigError(
            "--log", found=repr(form), wanted="text or json", remedy=f"correct --log, or {_FORM} in the environment"
        )
    return form  # type: ignore[return-value]


def run_id() -> str:
    """Id of this run: HEADRACE_RUN_ID where a scheduler gave one, else made once a process."""
    if not os.environ.get(_RUN_ID):
        os.environ[_RUN_ID] = uuid.uuid4().hex[:12]
    return os.environ[_RUN_ID]


@dataclass(frozen=True)
class JobLog:
    """Where a run's events go.

    Attributes
    ----------
    console : for text
    form : text or json
    """

    console: Console
    form: Form = "text"

    def tell(self, event: str, said: RenderableType, *, level: str = "info", plain: str = "", **facts: Any) -> None:
        """One event: `said` as a person reads it; `facts` (JSON values, days) and `plain`, the message without markup."""
        if self.form == "text":
            self.console.print(said, soft_wrap=isinstance(said, str))
            return
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "run_id": run_id(),
            "event": event,
            "message": plain or (said if isinstance(said, str) else event),
        }
        line = json.dumps(entry | {k: v for k, v in facts.items() if v is not None}, default=str)
        with _writing:  # lines of threads stay whole
            self.console.file.write(line + "\n")
            self.console.file.flush()

    def refuse(self, error: HeadraceError) -> None:
        """An expected error, as the last event of a run that it ends."""
        facts: dict[str, Any] = {"found": error.found, "wanted": error.wanted, "remedy": error.remedy}
        facts |= {"kind": type(error).__name__, "what": error.what, "exit_code": error.exit_code}
        said = f"error {type(error).__name__}: {error}"
        if self.form == "text":
            self.console.print(said, markup=False, soft_wrap=True)
        else:
            self.tell("error", said, level="error", **facts)


def open_log(console: Console) -> JobLog:
    """The log of this process in the form asked for."""
    return JobLog(console, asked_form())


def span_of(days: Sequence[date]) -> dict[str, Any]:
    """Days as facts of an event: `ds`, the last of them, and `days`, their number."""
    return {"ds": max(days), "days": len(days)} if days else {}


@contextmanager
def _in_range() -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise ConfigError(
            "a day or length",
            found=str(error),
            wanted="days between the years 1 and 9999",
            remedy="check --ds and --days",
        ) from None


@contextmanager
def refusing() -> Iterator[None]:
    """End the process with the exit code of an expected error, which is told on stderr (JSON: also there)."""
    try:
        with _in_range():
            yield
    except HeadraceError as error:
        form: Form = "json" if os.environ.get(_FORM) == "json" else "text"  # the error may be about the form
        JobLog(Console(stderr=True, highlight=False, soft_wrap=True), form).refuse(error)
        sys.exit(error.exit_code)
