"""`headrace train`, `evaluate` and `predict`: days chosen, progress shown, tables printed. The work is trainer/'s."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from headrace.config import Config
from headrace.days import day_range
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from trainer.evaluate import Evaluation
    from trainer.importance import Importance
    from trainer.scoring import Progress as Report

__all__ = ["evaluate_model", "predict_rows", "shown_progress", "train_model"]


def train_model(
    config: Config,
    *,
    ds: date,
    days: int | None,
    out: Path,
    console: Console,
    resume: bool = False,
    log: Path | None = None,
    tensorboard: Path | None = None,
) -> None:
    """Train on `days` published days that end with `ds`; with three or more the last one chooses the epoch."""
    from trainer.logs import open_log
    from trainer.render import render_training
    from trainer.train import train

    count = days or config.train.days
    chosen = list(day_range(ds - timedelta(days=count - 1), ds))
    valid = chosen.pop() if len(chosen) >= 3 else None
    with shown_progress(console) as report, open_log(log, tensorboard=tensorboard) as told:
        result = train(
            config.root,
            days=chosen,
            valid_day=valid,
            config=config.train,
            out=out,
            resume=resume,
            progress=report,
            log=told,
        )
    console.print(render_training(result))
    if result.valid is not None:
        try:
            _page(out, {"validation": result.valid}, to=out.with_name(out.name + ".html"), console=console)
        except ConfigError as error:  # the model is there all the same
            console.print(f"no page: {error.found}; {error.remedy}", soft_wrap=True)


def evaluate_model(
    config: Config,
    checkpoint: Path,
    *,
    ds: date,
    days: int,
    truth: Path | None,
    console: Console,
    split: str | None = None,
    page: Path | None = None,
    importance: bool = False,
) -> None:
    """Judge a checkpoint on `days` published days that end with `ds`."""
    from trainer.evaluate import evaluate
    from trainer.render import render_evaluation

    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    with shown_progress(console) as report:
        found = evaluate(checkpoint, root=config.root, days=chosen, split=split, truth=truth, progress=report)
        lost = _importance(config, checkpoint, days=chosen, report=report) if page and importance else None
    console.print(render_evaluation(found))
    if page is not None:
        _page(checkpoint, {"evaluation": found}, to=page, console=console, importance=lost)


def _importance(config: Config, checkpoint: Path, *, days: Sequence[date], report: "Report") -> "list[Importance]":
    from trainer.checkpoint import load_checkpoint
    from trainer.device import device_of
    from trainer.fitting import training_pieces
    from trainer.importance import permutation_importance
    from trainer.published import find_days

    loaded = load_checkpoint(checkpoint)
    loaded.model.to(device_of(loaded.config))
    chosen = find_days(config.root, days)
    pieces = training_pieces(config.root, chosen)
    return permutation_importance(loaded, root=config.root, days=chosen, pieces=pieces, progress=report)


def predict_rows(checkpoint: Path, *, source: str, out: str, console: Console) -> None:
    """Score rows of a table or of files."""
    from trainer.predict import predict
    from trainer.render import render_prediction

    with shown_progress(console) as report:
        found = predict(
            checkpoint, source=source, out=out, progress=lambda done, total: report("predict", done, total, "")
        )
    console.print(render_prediction(found))


def _page(
    checkpoint: Path,
    evaluations: "Mapping[str, Evaluation]",
    *,
    to: Path,
    console: Console,
    importance: "list[Importance] | None" = None,
) -> None:
    try:
        from trainer.report import write_model_report
    except ImportError as error:
        raise ConfigError(
            "the model report",
            found=f"no {error.name}",
            wanted="the extra report (Jinja2)",
            remedy='pip install "headrace[report]"',
        ) from None
    from trainer.checkpoint import load_checkpoint

    write_model_report(load_checkpoint(checkpoint), evaluations, out=to, importance=importance)
    console.print(f"model report: {to}", soft_wrap=True)


@contextmanager
def shown_progress(console: Console) -> Iterator["Report"]:
    """Bars of stages and their rows/s for as long as the work goes on; in a pipe or a log one line a stage."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, object] = {}
        began: dict[str, float] = {}

        def report(stage: str, done: int, total: int, text: str) -> None:
            if stage not in tasks:
                tasks[stage], began[stage] = bar.add_task(stage), time.monotonic()
                if not console.is_terminal:
                    console.print(f"{stage} ...")
            speed = done / max(time.monotonic() - began[stage], 1e-9)
            said = f"{stage} {text} {speed:,.0f} rows/s"
            bar.update(tasks[stage], completed=done, total=total, description=said)  # type: ignore[arg-type]

        yield report
