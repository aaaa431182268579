"""`headrace features`: the step itself, and what is declared (list, show) or lies behind one cell (explain)."""

from datetime import datetime
from typing import Annotated

import typer

from headrace.cli_options import (
    ConfigOption,
    DaysOption,
    ProvisionalOption,
    RebuildOption,
    Scope,
    ScopeOption,
    SetOption,
    console,
    settings_of,
)

__all__ = ["features_app"]

features_app = typer.Typer(
    help="Spine to training set: every feature, every state; or look at what is declared (list, show) and at one cell (explain)."
)


@features_app.callback(invoke_without_command=True, epilog="example: headrace features --ds 2024-05-07")
def features_step(
    context: typer.Context,
    ds: Annotated[datetime | None, typer.Option("--ds", formats=["%Y-%m-%d"], help="Day, YYYY-MM-DD.")] = None,
    days: DaysOption = 1,
    config: ConfigOption = None,
    set_: SetOption = None,
    rebuild: RebuildOption = False,
    provisional: ProvisionalOption = False,
    scope: ScopeOption = Scope.day,
) -> None:
    """Spine to training set: every feature, every state. `features list` shows what is declared."""
    if context.invoked_subcommand is not None:
        return
    from headrace.config import load_config
    from headrace.run import run_one

    if ds is None:
        raise typer.BadParameter("the step needs --ds; `headrace features list` shows the columns")
    settled = load_config(config, settings=settings_of(set_, provisional=provisional))
    run_one(settled, "features", ds=ds.date(), days=days, rebuild=rebuild, scope=scope.value, console=console())


@features_app.command("groups", epilog="example: headrace features groups --config my.yaml --json")
def features_groups(
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: Annotated[bool, typer.Option("--json", help="One line of JSON, for a scheduler.")] = False,
) -> None:
    """Names of the feature groups: what `--group` takes."""
    import json

    from headrace.config import load_config

    names = list(load_config(config, settings=set_ or ()).features.groups)
    print(json.dumps(names) if json_ else "\n".join(names))


@features_app.command("list", epilog="example: headrace features list --config my.yaml --group user")
def features_list(
    config: ConfigOption = None,
    set_: SetOption = None,
    group: Annotated[str | None, typer.Option(help="Only this source, e.g. user or profile:item.")] = None,
) -> None:
    """Every generated column with type, unit, source and default."""
    from headrace.config import load_config
    from headrace.listing import features_table

    console().print(features_table(load_config(config, settings=set_ or ()), source=group))


@features_app.command("show", epilog="example: headrace features show --group user")
def features_show(
    config: ConfigOption = None,
    set_: SetOption = None,
    group: Annotated[str | None, typer.Option(help="Only this group.")] = None,
) -> None:
    """Windows, delay and refresh of every group on a line of time."""
    from headrace.config import load_config
    from headrace.windowline import show_windows

    show_windows(load_config(config, settings=set_ or ()), name=group, console=console())


@features_app.command(
    "explain", epilog="example: headrace features explain --impression 42 --feature user_click_count_7d"
)
def features_explain(
    impression: Annotated[int, typer.Option(help="impression_id of a row of training_set.")],
    feature: Annotated[str, typer.Option(help="Column of a feature group.")],
    ds: Annotated[datetime | None, typer.Option("--ds", formats=["%Y-%m-%d"], help="Its day, to read less.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """One cell: value, as_of, window, the events that made it, and those left out and why."""
    from headrace.config import load_config
    from headrace.explain import explain_cell

    settled = load_config(config, settings=set_ or ())
    explain_cell(settled, impression=impression, feature=feature, ds=ds and ds.date(), console=console())
