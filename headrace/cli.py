"""The command line: `headrace COMMAND`. Exit codes: 0 done, 1 bug, 2 config, 3 gate, 4 input (docs/design.md, 11)."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace import __version__
from headrace.cli_days import add_day_commands
from headrace.cli_doctor import add_doctor_command
from headrace.cli_features import features_app
from headrace.cli_models import add_model_commands
from headrace.cli_options import (
    AcceptOption,
    ConfigOption,
    DayOption,
    DaysOption,
    GroupOption,
    ProvisionalOption,
    RebuildOption,
    Scope,
    ScopeOption,
    SetOption,
    SideOption,
    check_alone,
    console,
    needed_day,
    reason_of,
    settings_of,
    without,
)
from headrace.cli_prerank import add_prerank_commands
from headrace.joblog import log_in, refusing
from headrace.steps import step_named

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Spark batch features and training data for recommender ranking.",
    epilog="Start with: [bold]headrace demo[/]   Exit codes: 0 done, 1 bug, 2 config, 3 gate refused, 4 input missing.",
)
add_day_commands(app)
app.add_typer(features_app, name="features", rich_help_panel="Steps of the chain")


def main() -> None:
    """Entry point: expected errors become a message and an exit code, never a traceback."""
    with refusing():
        app()


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    log: Annotated[
        str | None,
        typer.Option("--log", metavar="text|json", help="How run and the steps say what they do (HEADRACE_LOG)."),
    ] = None,
) -> None:
    log_in(log)
    if version:
        print(__version__)
        raise typer.Exit


@app.command(epilog="example: headrace run --config my.yaml --ds 2024-05-07 --days 3")
def run(
    ds: DayOption,
    days: DaysOption = 1,
    config: ConfigOption = None,
    set_: SetOption = None,
    rebuild: RebuildOption = False,
    provisional: ProvisionalOption = False,
    accept: AcceptOption = None,
    side: SideOption = False,
) -> None:
    """Build days, ingest to publish; what receipts say is done with the same inputs and config is skipped."""
    from headrace.config import load_config
    from headrace.run import run_chain

    settled = load_config(config, settings=settings_of(set_, provisional=provisional))
    reason = reason_of(accept)
    run_chain(settled, ds=ds.date(), days=days, rebuild=rebuild, accept=reason, side=side, console=console())


def _step_command(name: str, text: str) -> None:
    def command(
        ds: DayOption,
        days: DaysOption = 1,
        config: ConfigOption = None,
        set_: SetOption = None,
        rebuild: RebuildOption = False,
        provisional: ProvisionalOption = False,
        accept: AcceptOption = None,
        scope: ScopeOption = Scope.day,
        group: GroupOption = None,
    ) -> None:
        from headrace.config import load_config
        from headrace.run import run_one

        settled = load_config(config, settings=settings_of(set_, provisional=provisional))
        run_one(
            settled,
            name,
            ds=ds.date(),
            days=days,
            rebuild=rebuild,
            console=console(),
            accept=reason_of(accept),
            scope=scope.value,
            group=group,
        )

    command.__doc__ = text
    panel, example = "Steps of the chain", f"example: headrace {name} --ds 2024-05-07"
    step = step_named(name)  # only a step with a gate has something to accept
    command = without(command, *([] if step.gated else ["accept"]), *([] if step.grouped else ["group"]))
    app.command(name, epilog=example, rich_help_panel=panel)(command)


for _name, _text in {
    "ingest": "Landing files to conformed tables; bad rows to quarantine.",
    "tiles": "Events to hourly tiles, one table per feature group.",
    "stats": "What the end of each day knows of every key, for serving: only rows with news.",
    "state": "What the next night starts from, so that it reads the tiles that enter and leave, not all history.",
    "labels": "Mature impressions to labels.",
    "sample": "Labels to the spine: negatives downsampled, the rate on every row.",
    "coverage": "Six states of every feature in every slice.",
    "publish": "Hold the day against its gates, then pin the training set's version for consumers.",
}.items():
    _step_command(_name, _text)


@app.command(epilog="example: headrace simulate --out world --days 21 --impressions-per-day 50000")
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to make: landing/, truth/, world.json.")],
    days: Annotated[int, typer.Option(min=1, help="Days of logs.")] = 21,
    impressions_per_day: Annotated[int, typer.Option(min=1, help="Impressions a day.")] = 50_000,
    first_day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = datetime(2024, 5, 1),
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    timezone: Annotated[str, typer.Option(help="Business timezone.")] = "UTC",
    format_: Annotated[str, typer.Option("--format", help="parquet, csv or jsonl.")] = "parquet",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing world.")] = False,
) -> None:
    """Make a seeded world in the landing format, with the true probabilities beside it."""
    from headrace.worlds import make_world

    make_world(
        out,
        days=days,
        impressions_per_day=impressions_per_day,
        first_day=first_day.date(),
        seed=seed,
        timezone=timezone,
        format=format_,
        overwrite=overwrite,
        console=console(),
    )


@app.command(epilog="example: headrace adapt mind --source MINDsmall_train --out mind")
def adapt(
    name: Annotated[str, typer.Argument(help="mind, globo or kuairand.")],
    source: Annotated[Path, typer.Option(help="Folder of the public log.")],
    out: Annotated[Path, typer.Option(help="Folder to make: landing/ and a configuration.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    """Turn a public log into the landing format; what the source lacks is said and stays missing."""
    from headrace.worlds import adapt_log

    adapt_log(name, source=source, out=out, overwrite=overwrite, console=console())


add_model_commands(app)
add_prerank_commands(app)
add_doctor_command(app)


class _Format(StrEnum):
    html = "html"
    csv = "csv"
    xlsx = "xlsx"
    json = "json"


@app.command(
    epilog="examples: headrace report --ds 2024-05-19 --days 90 --out report.html    "
    "headrace report --ds 2024-05-19 --format xlsx    headrace report --compare 2024-05-18 2024-05-19    "
    "headrace report --compare new.yaml@2024-05-19 stats@2024-05-19"
)
def report(
    ds: Annotated[datetime | None, typer.Option("--ds", formats=["%Y-%m-%d"], help="Day, YYYY-MM-DD.")] = None,
    days: DaysOption = 90,
    out: Annotated[Path | None, typer.Option(help="File to write (default: report.<format>, compare.html).")] = None,
    format_: Annotated[
        _Format, typer.Option("--format", help="A page, or the coverage rows as a table.")
    ] = _Format.html,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two of DAY, CONFIG.yaml@DAY and stats@DAY side by side, instead of --ds."),
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Coverage of every feature per day, as one offline HTML file and a short table here; or as csv, xlsx or json."""
    from headrace.config import load_config
    from headrace.pages import comparison_page, coverage_export, report_page

    settled = load_config(config, settings=set_ or ())
    if compare is not None:
        check_alone("--compare", ds=ds, format=None if format_ is _Format.html else format_)
        comparison_page(settled, *compare, out=out or Path("compare.html"), console=console())
        return
    day = needed_day(ds)
    target = out or Path(f"report.{format_}")
    if format_ is _Format.html:
        report_page(settled, ds=day, days=days, out=target, console=console())
    else:
        coverage_export(settled, ds=day, days=days, format=format_, out=target, console=console())


@app.command(epilog="example: headrace demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo.")] = Path("demo"),
    scale: Annotated[float, typer.Option(min=0.01, help="Traffic relative to 50,000 impressions a day.")] = 1.0,
) -> None:
    """A simulated world, the chain, a model, its evaluation against the truth, and the coverage page."""
    from headrace.demo import run_demo

    run_demo(out, scale=scale, console=console())
