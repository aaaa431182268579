"""The command to begin with when something is wrong: doctor."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Annotated

import typer

from headrace.cli_options import ConfigOption, SetOption, console

__all__ = ["add_doctor_command"]


def add_doctor_command(app: typer.Typer) -> None:
    """Add it to the command line."""
    example = "example: headrace doctor --config my.yaml --spark"
    app.command(epilog=example, rich_help_panel="When something is wrong")(doctor)


def doctor(
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    spark: Annotated[
        bool, typer.Option("--spark", help="Also start Spark, run a job and write a Delta table (starts a JVM).")
    ] = False,
) -> None:
    """Whether machine, versions, configuration, storage and landing are fit for a night. Exit 2 if not, 4 for landing."""
    from headrace.doctor import as_json, examine, exit_code, show_checks

    with _ended_like_ctrl_c():
        checks = examine(config, set_ or (), spark=spark)
    if json_:
        print(as_json(checks))
    else:
        show_checks(checks, console=console())
    raise typer.Exit(exit_code(checks))


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, as `timeout` and schedulers send it, still clears away what was tried out."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
