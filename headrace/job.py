"""What every job under jobs/ shares: arguments, one session, exit codes."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any


def _uncover_packages() -> None:
    """A script's own folder stands first on the path, where features.py would hide the package `features`.

    It need not be called jobs: cluster modes copy the script alone.
    """
    folder = Path(sys.argv[0]).resolve().parent
    if (folder / "features.py").is_file():
        sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != folder]
        sys.path.append(str(folder.parent))


_uncover_packages()  # jobs import this module before any package that one of them could hide

from headrace.cli_options import console, reason_of, settings_of  # noqa: E402
from headrace.config import Config, load_config  # noqa: E402
from headrace.joblog import log_in, refusing  # noqa: E402
from headrace.run import run_chain, run_one  # noqa: E402
from headrace.steps import step_named  # noqa: E402

__all__ = ["main", "main_nightly"]


def _positive(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError(f"found {text}, wanted 1 or more")
    return days


def _arguments(name: str) -> argparse.ArgumentParser:
    """What the jobs of all steps take."""
    parser = argparse.ArgumentParser(
        description=f"headrace {name}",
        epilog=f"example: spark-submit jobs/{name}.py --config conf/prod.yaml --ds 2024-05-01",
    )
    parser.add_argument("--config", required=True, help="configuration file")
    parser.add_argument("--ds", required=True, type=date.fromisoformat, help="day, YYYY-MM-DD")
    parser.add_argument("--days", type=_positive, default=1, help="days that end with --ds (default 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--rebuild", action="store_true", help="build again even if nothing changed")
    parser.add_argument("--provisional", action="store_true", help="label days that are not mature yet")
    parser.add_argument("--log", metavar="text|json", help="lines for people (default) or one JSON object a line")
    parser.add_argument("--run-id", help="id on every line of the log and on the receipts (default: made)")
    return parser


def main(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run one step, as spark-submit starts it."""
    parser, step = _arguments(name), step_named(name)
    parser.add_argument(
        "--scope",
        choices=("day", "history", "publish"),
        default="day",
        help="day: the --days that end with --ds; history: every day up to it; publish: what publishing it needs",
    )
    if step.grouped:
        parser.add_argument("--group", help="this feature group alone; the job without it joins them")
    if step.gated:
        _add_accept(parser)
    given = parser.parse_args(arguments)
    with refusing():
        group = getattr(given, "group", None)
        run_one(_started(given), name, scope=given.scope, group=group, **_common(given))


def main_nightly(arguments: Sequence[str] | None = None) -> None:
    """Run the whole chain in one application."""
    parser = _arguments("nightly")
    parser.add_argument("--side", action="store_true", help="also build state and stats")
    _add_accept(parser)
    given = parser.parse_args(arguments)
    with refusing():
        run_chain(_started(given), side=given.side, **_common(given))


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept", metavar="REASON", help="go on although a gate refuses the day, and say why")


def _started(given: argparse.Namespace) -> Config:
    """The log set up, and the configuration."""
    log_in(given.log, run=given.run_id)
    return load_config(given.config, settings=settings_of(given.set, provisional=given.provisional))


def _common(given: argparse.Namespace) -> dict[str, Any]:
    accept = reason_of(getattr(given, "accept", None))
    return {"ds": given.ds, "days": given.days, "rebuild": given.rebuild, "console": console(), "accept": accept}
