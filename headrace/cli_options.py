"""Options and the console that commands share."""

import functools
import inspect
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from headrace.errors import ConfigError

__all__ = [
    "AcceptOption",
    "ConfigOption",
    "DayOption",
    "DaysOption",
    "GroupOption",
    "ProvisionalOption",
    "RebuildOption",
    "Scope",
    "ScopeOption",
    "SetOption",
    "SideOption",
    "check_alone",
    "console",
    "needed_day",
    "reason_of",
    "settings_of",
    "without",
]


class Scope(StrEnum):
    """Which days a step looks at."""

    day = "day"
    history = "history"
    publish = "publish"


ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file (default: local.yaml).")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
DayOption = Annotated[datetime, typer.Option("--ds", formats=["%Y-%m-%d"], help="Day, YYYY-MM-DD.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, help="Number of days that end with --ds.")]
RebuildOption = Annotated[bool, typer.Option("--rebuild", help="Build again even if nothing changed.")]
ProvisionalOption = Annotated[
    bool, typer.Option("--provisional", help="Label days that are not mature yet; they cannot be published.")
]
SideOption = Annotated[
    bool, typer.Option("--side", help="Also build state and stats, which serving and later nights use.")
]
ScopeOption = Annotated[
    Scope,
    typer.Option(
        help="day: the days that end with --ds; history: every day up to it; publish: what publishing it needs of this step."
    ),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="This feature group alone; later the step without --group joins them.")
]
AcceptOption = Annotated[
    str | None,
    typer.Option(
        "--accept", metavar="REASON", help="Go on although a gate refuses the day; the reason is put on the receipt."
    ),
]


def console() -> Console:
    """One console a call, so that output can be captured; tables stay whole in a pipe or a log."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=max(made.width, 132))


def settings_of(set_: list[str] | None, *, provisional: bool = False) -> list[str]:
    """--set, and what the flags set."""
    return [*(set_ or ()), *(["labels.provisional=true"] if provisional else [])]


def reason_of(accept: str | None) -> str | None:
    """The reason given with --accept.

    Raises
    ------
    ConfigError
        It is blank: a receipt would say nothing.
    """
    if accept is not None and not accept.strip():
        raise ConfigError(
            "the reason", found="a blank one", wanted="why, in words", remedy="say it: it is kept on the receipt"
        )
    return accept


def needed_day(ds: datetime | None) -> date:
    """The day of --ds; ConfigError without."""
    if ds is None:
        raise ConfigError("--ds", found="no day", wanted="--ds YYYY-MM-DD", remedy="name the day, or use --compare A B")
    return ds.date()


def check_alone(option: str, **others: object) -> None:
    """Raise ConfigError where `option` stands with others that it cannot go with."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise ConfigError(
            option, found=f"--{given[0]} beside it", wanted="one of them", remedy=f"leave out --{given[0]}"
        )


def without(command: Callable[..., None], *options: str) -> Callable[..., None]:
    """The same command without some of its options."""
    signature = inspect.signature(command)
    kept = [p for name, p in signature.parameters.items() if name not in options]

    @functools.wraps(command)
    def plain(**given: Any) -> None:
        command(**given)

    plain.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return plain
