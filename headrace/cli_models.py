"""Commands about models: train, evaluate, predict."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli_options import ConfigOption, DayOption, DaysOption, SetOption, console

__all__ = ["add_model_commands"]

_PANEL = "Models"


def add_model_commands(app: typer.Typer) -> None:
    """Add them to the command line, in the order of their use."""
    app.command(
        rich_help_panel=_PANEL,
        epilog="examples: headrace train --ds 2024-05-19 --out model    "
        "headrace train --ds 2024-05-19 --days 7 --out model --set train.model=ple --set train.epochs=3    "
        "headrace train --ds 2024-05-19 --out model --resume",
    )(train)
    app.command(
        rich_help_panel=_PANEL,
        epilog="examples: headrace evaluate model --ds 2024-05-20 --page model.html    "
        "headrace evaluate model --ds 2024-05-20 --page model.html --importance    "
        "headrace evaluate model --ds 2024-05-20 --truth world/truth",
    )(evaluate)
    app.command(
        rich_help_panel=_PANEL,
        epilog="examples: headrace predict model --in tables/training_set --out scores    "
        "headrace predict model --in candidates.parquet --out scores.parquet",
    )(predict)


def train(
    ds: DayOption,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    days: Annotated[
        int | None, typer.Option(min=1, help="Training days that end with --ds (default: train.days).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off, at the batch after its last save.")
    ] = False,
    log: Annotated[Path | None, typer.Option(help="File to add to: one line of JSON an event.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's curves.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Train a model on published days; prints metrics before and after calibration, and writes a page beside the checkpoint."""
    from headrace.config import load_config
    from headrace.modelling import train_model

    settled = load_config(config, settings=set_ or ())
    train_model(
        settled,
        ds=ds.date(),
        days=days,
        out=out,
        resume=resume,
        log=log,
        tensorboard=tensorboard,
        console=console(),
    )


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `headrace train` wrote.")],
    ds: DayOption,
    days: DaysOption = 1,
    split: Annotated[str | None, typer.Option(help="Only rows of this split: train, validation or test.")] = None,
    truth: Annotated[Path | None, typer.Option(help="True probabilities of a simulated world.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the model report to this file too.")] = None,
    importance: Annotated[
        bool, typer.Option("--importance", help="With --page: what is lost when a group of features is shuffled; slow.")
    ] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """AUC, GAUC, log loss and predicted / actual of every head on published days, before and after calibration."""
    from headrace.config import load_config
    from headrace.modelling import evaluate_model

    settled = load_config(config, settings=set_ or ())
    evaluate_model(
        settled,
        checkpoint,
        ds=ds.date(),
        days=days,
        split=split,
        truth=truth,
        page=page,
        importance=importance,
        console=console(),
    )


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `headrace train` wrote.")],
    source: Annotated[str, typer.Option("--in", help="Delta table, Parquet file, or folder of Parquet files.")],
    out: Annotated[str, typer.Option(help="NAME.parquet for a file, any other name for a Delta table; a new one.")],
) -> None:
    """Score rows: for every head the raw and the calibrated score, and the fused one."""
    from headrace.modelling import predict_rows

    predict_rows(checkpoint, source=source, out=out, console=console())
