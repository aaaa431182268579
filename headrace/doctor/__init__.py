"""`headrace doctor`: whether this machine, its configuration, storage and landing are fit for a night, line by line.

Every check stands alone: one that breaks is a line that says so, and the others are made all the same. Nothing is left
behind, and Spark is not started unless asked for.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.doctor import installed, machine, settings
from headrace.doctor.check import Check, guarded, unknown
from headrace.errors import ConfigError, InputError

if TYPE_CHECKING:
    from headrace.config import Config

__all__ = ["Check", "as_json", "examine", "exit_code", "show_checks"]

LANDING = "landing"
"""Checks whose name begins so are about input."""

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def examine(path: Path | None, changes: Sequence[str] = (), *, spark: bool = False) -> list[Check]:
    """All checks, in the order in which they are best mended.

    Parameters
    ----------
    path : configuration file, as `load_config` takes it
    changes : key=value, as --set takes them
    spark : also start a session and try it
    """
    loaded: list[Config] = []
    configuration = guarded("configuration", lambda: settings.check_config(path, changes, loaded))
    config = loaded[0] if loaded else None
    looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("Python", machine.check_python),
        ("Java", machine.check_java),
        ("Spark", installed.check_spark),
        ("packages", installed.check_packages),
        ("configuration", lambda: configuration),
        ("timezone", lambda: settings.check_timezone(config)),
        ("secrets", lambda: settings.check_secrets(config)),
        ("jars", lambda: installed.check_jars(config)),
        ("memory", lambda: machine.check_memory(config)),
        ("disk", lambda: machine.check_disks(config)),
        ("storage", lambda: _storage(config)),
        (LANDING, lambda: _landing(config)),
        *([("Spark session", lambda: _started(config))] if spark else []),
    ]
    return [_hidden(check, config) for name, look in looks for check in guarded(name, look)]


def _storage(config: "Config | None") -> Iterator[Check]:
    if config is None:
        yield unknown("storage")
        yield unknown("clock")
        return
    from headrace.doctor.storage import check_storage

    yield from check_storage(config)


def _landing(config: "Config | None") -> Iterator[Check]:
    if config is None:
        yield unknown(LANDING)
        return
    from headrace.doctor.landed import check_landing

    yield from check_landing(config)


def _started(config: "Config | None") -> Iterator[Check]:
    if config is None:
        yield unknown("Spark session")
        return
    from headrace.doctor.started import check_started

    yield from check_started(config)


def _hidden(check: Check, config: "Config | None") -> Check:
    found, remedy = (settings.without_secrets(text, config) for text in (check.found, check.remedy))
    return replace(check, found=found, remedy=remedy)


def exit_code(checks: Sequence[Check]) -> int:
    """0 where nothing failed, 4 where only input did, else 2 (docs/design.md, section 11)."""
    failed = [check.name for check in checks if check.state == "fail"]
    if not failed:
        return 0
    only_input = all(name.startswith(LANDING) for name in failed)
    return InputError.exit_code if only_input else ConfigError.exit_code


def as_json(checks: Sequence[Check]) -> str:
    """One JSON object: `ok`, and `checks` with name, state, found, remedy."""
    return json.dumps({"ok": exit_code(checks) == 0, "checks": [asdict(check) for check in checks]})


def show_checks(checks: Sequence[Check], *, console: Console) -> None:
    """A line each, what to do below it, then how many need a look."""
    table = Table(header_style="bold", box=SIMPLE)
    for name in ("check", "state", "found"):
        table.add_column(name, no_wrap=name != "found", overflow="fold")
    for check in checks:
        remedy = Text(f"\ndo: {check.remedy}", style="bold") if check.remedy else Text()
        table.add_row(check.name, Text(check.state, style=_STYLES[check.state]), Text(check.found) + remedy)
    console.print(table)
    counts = [sum(check.state == state for check in checks) for state in ("ok", "warn", "fail")]
    console.print(f"{counts[0]} ok, {counts[1]} to look at, {counts[2]} failed")
