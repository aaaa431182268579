"""Options and the console that commands share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = [
    "ConfigOption",
    "DayOption",
    "DaysOption",
    "ProvisionalOption",
    "RebuildOption",
    "SetOption",
    "console",
    "settings_of",
]

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file (default: local.yaml).")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
DayOption = Annotated[datetime, typer.Option("--ds", formats=["%Y-%m-%d"], help="Day, YYYY-MM-DD.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, help="Number of days that end with --ds.")]
RebuildOption = Annotated[bool, typer.Option("--rebuild", help="Build again even if nothing changed.")]
ProvisionalOption = Annotated[
    bool, typer.Option("--provisional", help="Label days that are not mature yet; they cannot be published.")
]


def console() -> Console:
    """One console a call, so that output can be captured; tables stay whole in a pipe or a log."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=max(made.width, 132))


def settings_of(set_: list[str] | None, *, provisional: bool = False) -> list[str]:
    """--set, and what the flags set."""
    return [*(set_ or ()), *(["labels.provisional=true"] if provisional else [])]
