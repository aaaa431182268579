"""Commands that look at days, or act on whole days: status, delays, manifest, rebuild, unpublish, prune, verify."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli_options import ConfigOption, DayOption, DaysOption, SetOption, console, reason_of

__all__ = ["add_day_commands"]

_PANEL = "Days and what stands behind them"


def add_day_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command, example in (
        (status, "headrace status --days 14"),
        (landed, "headrace landed --ds 2024-05-07 --mature"),
        (delays, "headrace delays --ds 2024-05-07 --days 7"),
        (manifest, "headrace manifest --ds 2024-05-07 --out manifest.json"),
        (rebuild, "headrace rebuild manifest.json --landing copy/landing --root copy/tables"),
        (prune, "headrace prune --yes"),
        (verify, "headrace verify --ds 2024-05-07"),
        (gates, "headrace gates --ds 2024-05-07"),
        (unpublish, 'headrace unpublish --ds 2024-05-07 --reason "clicks logged twice"'),
    ):
        app.command(epilog=f"example: {example}", rich_help_panel=_PANEL)(command)


def _span(ds: datetime, days: int) -> list[date]:
    from headrace.days import day_range

    return list(day_range(ds.date() - timedelta(days=days - 1), ds.date()))


def status(
    ds: Annotated[
        datetime | None, typer.Option("--ds", formats=["%Y-%m-%d"], help="Last day (default: the last that landed).")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="Number of days.")] = 14,
    json_: Annotated[bool, typer.Option("--json", help="One line of JSON instead, for a program.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Days and steps: done, stale and why, refused, provisional, published, unpublished."""
    import json

    from headrace.config import load_config
    from headrace.status import days_to_show, show_status, status_facts

    settled = load_config(config, settings=set_ or ())
    chosen = days_to_show(settled, last=ds.date() if ds else None, days=days)
    if json_:
        print(json.dumps(status_facts(settled, days=chosen)))
        return
    show_status(settled, days=chosen, console=console())


def landed(
    ds: DayOption,
    mature: Annotated[bool, typer.Option("--mature", help="Wait for what its labels need as well.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Whether a day has landed, for schedulers: exit 0 if so, 4 if not yet, with what is missing."""
    from headrace.config import load_config
    from headrace.landed import check_landed

    print(check_landed(load_config(config, settings=set_ or ()), ds.date(), mature=mature))


def gates(
    ds: DayOption,
    days: DaysOption = 1,
    docs: Annotated[Path | None, typer.Option(help="Folder for Great Expectations' Data Docs.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Hold days against their gates without publishing them: what fails, by how much, since when. Exit 3 if critical."""
    from headrace.config import load_config
    from headrace.gating import show_gates

    settled = load_config(config, settings=set_ or ())
    show_gates(settled, days=_span(ds, days), docs=docs, console=console())


def delays(ds: DayOption, days: DaysOption = 1, config: ConfigOption = None, set_: SetOption = None) -> None:
    """How soon after an impression its engagements come and land: what label windows are chosen by."""
    from headrace.config import load_config
    from headrace.delays import report_delays
    from headrace.session import spark_session

    settled = load_config(config, settings=set_ or ())
    report_delays(spark_session(settled.spark), settled, days=_span(ds, days), console=console())


def manifest(
    ds: DayOption,
    out: Annotated[Path | None, typer.Option(help="File to save it in as well.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Print all that a published day was made of, as JSON: configuration, inputs, outputs, versions, hashes."""
    import json

    from headrace.config import load_config
    from headrace.manifest import read_manifest

    text = json.dumps(read_manifest(load_config(config, settings=set_ or ()), ds.date()), indent=1)
    if out is not None:
        _save(out, text)
    print(text)


def _save(out: Path, text: str) -> None:
    from headrace.errors import ConfigError

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {out}", found=str(error), wanted="a file", remedy="name another") from None


def rebuild(
    manifest: Annotated[Path, typer.Argument(help="File that `headrace manifest` saved.")],
    landing: Annotated[str, typer.Option(help="Where the landing files lie.")],
    root: Annotated[str, typer.Option(help="Where to build; a new folder.")],
) -> None:
    """Build the day of a manifest from landing files, and compare every content hash (exit 3 where one differs)."""
    from headrace.rebuilding import rebuild_day

    rebuild_day(manifest, landing=landing, root=root, console=console())


def unpublish(
    ds: DayOption,
    reason: Annotated[str, typer.Option(help="Why; kept on the receipt.")],
    days: DaysOption = 1,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Take published days back: readers no longer see them, and `run` leaves them alone; `publish` brings them back."""
    from headrace.config import load_config
    from headrace.withdraw import unpublish as withdraw

    for receipt in withdraw(
        load_config(config, settings=set_ or ()), days=_span(ds, days), reason=str(reason_of(reason))
    ):
        console().print(f"unpublished {receipt.ds}, revision {receipt.revision}: {reason}", markup=False)


def verify(
    ds: DayOption,
    days: DaysOption = 1,
    state: Annotated[bool, typer.Option("--state", help="The states of feature groups, from all tiles.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Compute again, from the bytes, what receipts say of the tables of a day, and name every difference (exit 3)."""
    from headrace.config import load_config

    settled = load_config(config, settings=set_ or ())
    if not state:
        from headrace.manifest import verify_manifest
        from headrace.verifybytes import verify_days

        verify_days(settled, days=_span(ds, days), console=console())
        for day in _span(ds, days):
            verify_manifest(settled, day)
        return
    from headrace.session import spark_session
    from headrace.verify import verify_state

    verify_state(spark_session(settled.spark), settled, days=_span(ds, days), console=console())


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it they are only shown.")] = False,
    keep_hours: Annotated[
        float, typer.Option(min=0, help="Hours: younger files, and files replaced since, stay (longest job or read).")
    ] = 24,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Show the files that neither the latest version of a table nor a published day needs; --yes deletes them."""
    from headrace.config import load_config
    from headrace.prune import print_plan, prune_plan
    from headrace.prune import prune as delete

    settled, shown = load_config(config, settings=set_ or ()), console()
    plan = prune_plan(settled, keep_hours=keep_hours)
    print_plan(settled, plan, console=shown)
    if yes:
        done = delete(settled, plan)
        shown.print(f"{done.deleted:,} files deleted, {done.bytes:,} bytes; {done.gone} were gone, {done.kept} kept")
    elif plan:
        shown.print("nothing was deleted: --yes does it")
