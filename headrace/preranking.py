"""`headrace export`, `rank` and `recall`: days chosen, progress shown, tables printed. The work is trainer.prerank's."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from headrace.config import Config
from headrace.days import day_range
from headrace.errors import ConfigError
from headrace.modelling import shown_progress

__all__ = ["compare_rankers", "export_vectors", "rank_candidates"]


def export_vectors(
    config: Config, checkpoint: Path, *, out: str, ds: date | None, days: int, source: str | None, console: Console
) -> None:
    """Write vectors of the items of `days` published days that end with `ds`, or of the rows of `source`."""
    from trainer.prerank import export_items
    from trainer.prerank.render import render_export

    if ds is None and source is None:
        raise ConfigError(
            "headrace export",
            found="neither --ds nor --in",
            wanted="one of them",
            remedy="name the day: --ds YYYY-MM-DD",
        )
    chosen = [] if ds is None else list(day_range(ds - timedelta(days=days - 1), ds))
    with shown_progress(console) as report:
        found = export_items(
            checkpoint,
            out=out,
            root=None if ds is None else config.root,
            days=chosen,
            source=source,
            progress=lambda done, total: report("export", done, total, ""),
        )
    console.print(render_export(found))


def rank_candidates(checkpoint: Path, *, items: str, source: str, out: str, console: Console) -> None:
    """Score candidates of a table or of files from items' vectors."""
    from trainer.prerank import prerank
    from trainer.prerank.render import render_preranked

    with shown_progress(console) as report:
        found = prerank(
            checkpoint,
            items=items,
            source=source,
            out=out,
            progress=lambda done, total: report("rank", done, total, ""),
        )
    console.print(render_preranked(found))


def compare_rankers(
    config: Config,
    checkpoints: tuple[Path, Path],
    *,
    ds: date,
    top: int,
    keep: Sequence[int],
    by: str | None,
    pool: int | None,
    requests: int,
    seed: int,
    console: Console,
) -> None:
    """Recall of the first checkpoint's top under the second, in pools, or with `pool` None among what was shown."""
    from trainer.prerank import recall_in_pools, recall_shown
    from trainer.prerank.render import render_recall

    ranker, preranker = checkpoints
    with shown_progress(console) as report:
        if pool is None:
            found = recall_shown(
                ranker, preranker, root=config.root, days=[ds], top=top, keep=keep, by=by, progress=report
            )
        else:
            found = recall_in_pools(
                ranker,
                preranker,
                root=config.root,
                ds=ds,
                top=top,
                keep=keep,
                pool=pool,
                requests=requests,
                by=by,
                seed=seed,
                progress=report,
            )
    console.print(render_recall(found))
