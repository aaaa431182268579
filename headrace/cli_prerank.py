"""Commands about pre-ranking: export, rank, recall."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli_options import ConfigOption, DayOption, DaysOption, SetOption, check_alone, console

__all__ = ["add_prerank_commands"]

_PANEL = "Models"


def add_prerank_commands(app: typer.Typer) -> None:
    """Add them to the command line, in the order of their use."""
    app.command(
        rich_help_panel=_PANEL,
        epilog="examples: headrace export towers --ds 2024-05-20 --days 7 --out items    "
        "headrace export towers --in catalogue.parquet --out items",
    )(export)
    app.command(
        rich_help_panel=_PANEL,
        epilog="example: headrace rank towers --items items --in candidates.parquet --out scores.parquet",
    )(rank)
    app.command(
        rich_help_panel=_PANEL,
        epilog="examples: headrace recall model towers --ds 2024-05-20 --top 10 --keep 50 --keep 100    "
        "headrace recall model towers --ds 2024-05-20 --shown --top 1 --keep 2",
    )(recall)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `headrace train` wrote, of a model with towers.")],
    out: Annotated[
        str, typer.Option(help="Delta table, in which vectors of other models stay, or NAME.parquet, a new file.")
    ],
    ds: Annotated[datetime | None, typer.Option("--ds", formats=["%Y-%m-%d"], help="Day, YYYY-MM-DD.")] = None,
    days: DaysOption = 1,
    source: Annotated[
        str | None, typer.Option("--in", help="Rows of items to read instead of published days: a table or files.")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Write the vector of every item that the days show, of its latest row, for `headrace rank`."""
    from headrace.config import load_config
    from headrace.preranking import export_vectors

    if source is not None:
        check_alone("--in", ds=ds)
    settled = load_config(config, settings=set_ or ())
    day = None if ds is None else ds.date()
    export_vectors(settled, checkpoint, out=out, ds=day, days=days, source=source, console=console())


def rank(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `headrace train` wrote, of a model with towers.")],
    items: Annotated[str, typer.Option(help="Vectors of items that `headrace export` wrote with the same model.")],
    source: Annotated[str, typer.Option("--in", help="Candidates: a Delta table, Parquet file, or folder of them.")],
    out: Annotated[str, typer.Option(help="NAME.parquet for a file, any other name for a Delta table; a new one.")],
) -> None:
    """Score candidates from items' vectors: the user's tower once a request, the columns of `headrace predict`."""
    from headrace.preranking import rank_candidates

    rank_candidates(checkpoint, items=items, source=source, out=out, console=console())


def recall(
    ranker: Annotated[Path, typer.Argument(help="Checkpoint of the full ranker.")],
    preranker: Annotated[Path, typer.Argument(help="Checkpoint of the pre-ranker.")],
    ds: DayOption,
    top: Annotated[int, typer.Option(min=1, help="How many of the ranker's first should be kept.")] = 10,
    keep: Annotated[
        list[int] | None, typer.Option(min=1, help="How many the pre-ranker keeps; more than once.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="fused, or a head (default: fused where both have it).")] = None,
    shown: Annotated[bool, typer.Option("--shown", help="Among the rows of each request, not in pools.")] = False,
    pool: Annotated[int, typer.Option(min=2, help="Items that are drawn for each request.")] = 500,
    requests: Annotated[int, typer.Option(min=2, help="Requests that are drawn.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same pools.")] = 7,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """What share of a ranker's top a pre-ranker keeps, in pools of the day's items."""
    from headrace.config import load_config
    from headrace.preranking import compare_rankers

    settled = load_config(config, settings=set_ or ())
    compare_rankers(
        settled,
        (ranker, preranker),
        ds=ds.date(),
        top=top,
        keep=keep or [top, 2 * top, 5 * top],
        by=by,
        pool=None if shown else pool,
        requests=requests,
        seed=seed,
        console=console(),
    )
