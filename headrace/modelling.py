"""`headrace train` and `headrace evaluate`: days chosen, progress shown, tables printed. The work is trainer/'s."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from headrace.config import Config
from headrace.days import day_range

if TYPE_CHECKING:
    from trainer.scoring import Progress as Report

__all__ = ["evaluate_model", "train_model"]


def train_model(config: Config, *, ds: date, days: int | None, out: Path, console: Console) -> None:
    """Train on `days` published days that end with `ds`; with three or more the last one chooses the epoch."""
    from trainer.render import render_training
    from trainer.train import train

    count = days or config.train.days
    chosen = list(day_range(ds - timedelta(days=count - 1), ds))
    valid = chosen.pop() if len(chosen) >= 3 else None
    with _progress(console) as report:
        result = train(config.root, days=chosen, valid_day=valid, config=config.train, out=out, progress=report)
    console.print(render_training(result))


def evaluate_model(
    config: Config, checkpoint: Path, *, ds: date, days: int, truth: Path | None, console: Console
) -> None:
    """Judge a checkpoint on `days` published days that end with `ds`."""
    from trainer.evaluate import evaluate
    from trainer.render import render_evaluation

    chosen = list(day_range(ds - timedelta(days=days - 1), ds))
    with _progress(console) as report:
        found = evaluate(checkpoint, root=config.root, days=chosen, truth=truth, progress=report)
    console.print(render_evaluation(found))


@contextmanager
def _progress(console: Console) -> Iterator["Report"]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, object] = {}

        def report(stage: str, done: int, total: int, text: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage)
                if not console.is_terminal:
                    console.print(f"{stage} ...")
            bar.update(tasks[stage], completed=done, total=total, description=f"{stage} {text}")  # type: ignore[arg-type]

        yield report
