"""Errors that a person can act on: what was found, what was wanted, what to do.

Each class carries the exit code of the command line (docs/design.md, section 11).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

__all__ = ["ConfigError", "ConflictError", "GateError", "HeadraceError", "InputError", "told_by_tasks"]

_TOLD = re.compile(
    r"headrace\.errors\.(ConfigError|GateError|InputError): (.*?)\n\s*found:  (.*?)\n\s*wanted: (.*?)\n\s*do:     (.*?)(?:\n|$)"
)


class HeadraceError(Exception):
    """Base of all expected errors; `exit_code` reaches the shell.

    Parameters
    ----------
    what : str
        The subject: a file and key, a table and day, a stratum.
    found, wanted, remedy : str
        What was there, what should have been, and what the reader can do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, found: str, wanted: str, remedy: str) -> None:
        self.what, self.found, self.wanted, self.remedy = what, found, wanted, remedy
        super().__init__(f"{what}\n  found:  {found}\n  wanted: {wanted}\n  do:     {remedy}")


class ConfigError(HeadraceError):
    """Wrong configuration or arguments (exit 2)."""

    exit_code = 2


class GateError(HeadraceError):
    """A gate refused the day (exit 3).

    Attributes
    ----------
    made : receipts by day of the days of the same build that were not refused
    notes : day -> notes for the receipt of a day that was; without, the message itself
    """

    exit_code = 3

    def __init__(self, what: str, *, found: str, wanted: str, remedy: str) -> None:
        super().__init__(what, found=found, wanted=wanted, remedy=remedy)
        self.made: dict[date, Any] = {}
        self.notes: dict[date, dict[str, str]] = {}


class InputError(HeadraceError):
    """Input missing, unreadable or not yet mature (exit 4)."""

    exit_code = 4


class ConflictError(HeadraceError):
    """Another run wrote the same days at the same moment; this one changed nothing (exit 1, safe to run again)."""


@contextmanager
def told_by_tasks() -> Iterator[None]:
    """Raise again here what a task on an executor raised: Spark passes on its text only."""
    try:
        yield
    except HeadraceError:
        raise
    except Exception as error:
        found = _TOLD.search(str(error))
        if found is None:
            raise
        kind, what, *facts = found.groups()
        known = {"ConfigError": ConfigError, "GateError": GateError, "InputError": InputError}
        raise known[kind](what, **dict(zip(("found", "wanted", "remedy"), facts, strict=True))) from None
