"""`headrace simulate` and `headrace adapt`: landing logs made or turned, with progress and a summary."""

from datetime import date
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["adapt_log", "make_world"]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )


def make_world(
    out: Path,
    *,
    days: int,
    impressions_per_day: int,
    first_day: date,
    seed: int,
    timezone: str,
    format: str,
    overwrite: bool,
    console: Console,
) -> None:
    """Simulate and print what was made."""
    from simulation import simulate, world_spec

    spec = world_spec(
        {
            "seed": seed,
            "first_day": first_day,
            "days": days,
            "impressions_per_day": impressions_per_day,
            "timezone": timezone,
            "format": format,
            "users": max(200, impressions_per_day // 10),
            "items": max(150, impressions_per_day // 17),
            "authors": max(20, impressions_per_day // 170),
        }
    )
    with _progress(console) as bar:
        task = bar.add_task("simulating days", total=days)

        def show(_day: date, done: int, _total: int, _rows: int) -> None:
            bar.update(task, completed=done)

        summary = simulate(out, spec=spec, progress=show, overwrite=overwrite)
    console.print(f"world: {out} ({days} days from {first_day}), seed {seed}")
    for table, made in summary.tables.items():
        dirt = f"{made.late:,} late, {sum(made.duplicates.values()):,} duplicate, {sum(made.malformed.values()):,} malformed"
        console.print(f"  {table}: {made.rows:,} rows, of them {dirt}")
    rates = ", ".join(f"{name} {share:.2%}" for name, share in summary.expected.items() if name != "watch_s")
    console.print(f"  true rates: {rates}")


def adapt_log(name: str, *, source: Path, out: Path, overwrite: bool, console: Console) -> None:
    """Adapt and print what was made, and what the source lacks."""
    from adapters import adapt

    with _progress(console) as bar:
        task = bar.add_task(f"adapting {name}", total=None)
        summary = adapt(
            name,
            source=source,
            out=out,
            overwrite=overwrite,
            progress=lambda _table, rows: bar.update(task, completed=rows),
        )
    span = f"{summary.days[0]} .. {summary.days[-1]}" if summary.days else "no day"
    console.print(f"{name}: {span} into {out}")
    for table, rows in summary.rows.items():
        console.print(f"  {table}: {rows:,} rows")
    for reason, rows in summary.dropped.items():
        console.print(f"  dropped: {rows:,} {reason}")
    for sentence in summary.missing:
        console.print(f"  missing: {sentence}")
