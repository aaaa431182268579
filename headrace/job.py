"""What every job under jobs/ shares: arguments, one session, exit codes."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from headrace.chain import run_step
from headrace.cli_options import reason_of, settings_of
from headrace.config import load_config
from headrace.days import day_range
from headrace.errors import HeadraceError
from headrace.steps import step_named

__all__ = ["main"]


def _uncover_packages() -> None:
    """A script's own folder stands first on the path, where jobs/features.py would hide the package `features`."""
    folder = Path(sys.argv[0]).resolve().parent
    if folder.name == "jobs" and (folder / "features.py").is_file():
        sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != folder]
        sys.path.append(str(folder.parent))


_uncover_packages()  # jobs import this module before any package that one of them could hide


def _positive(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError(f"found {text}, wanted 1 or more")
    return days


def main(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run one step for --ds (and the --days that end with it), as spark-submit starts it."""
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
    if step_named(name).gated:
        parser.add_argument("--accept", metavar="REASON", help="go on although a gate refuses the day, and say why")
    given = parser.parse_args(arguments)
    try:
        from headrace.session import spark_session

        config = load_config(given.config, settings=settings_of(given.set, provisional=given.provisional))
        days = list(day_range(given.ds - timedelta(days=given.days - 1), given.ds))
        outcome = run_step(
            lambda: spark_session(config.spark, app=f"headrace {name} {given.ds}"),
            config,
            step_named(name),
            days=days,
            rebuild=days if given.rebuild else [],
            accept=reason_of(getattr(given, "accept", None)),
        )
    except HeadraceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    for receipt in outcome.receipts:
        print(f"{name} {receipt.ds} revision {receipt.revision}: {receipt.rows_in} rows in, {receipt.rows_out} out")
    for day in outcome.skipped:
        print(f"{name} {day}: skipped, done with the same inputs, config and code")
