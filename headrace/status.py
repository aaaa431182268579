"""`headrace status`: days x steps, what stands and what does not, and why; from receipts and landing alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from headrace.config import Config
from headrace.days import day_range
from headrace.errors import InputError
from headrace.freshness import asked_receipt, grouped, why_not_done
from headrace.inputs import Known
from headrace.receipts import REFUSED, STARTED, WITHDRAWN, Receipt, all_latest
from headrace.steps import SIDE_STEPS, STEPS
from schemas.landing import landed_days

__all__ = ["StatusCell", "days_to_show", "show_status", "status_facts", "status_grid"]

_STANDS = ("done", "published", "provisional")

_STYLES = {
    "done": "green",
    "published": "bold green",
    "provisional": "cyan",
    "stale": "yellow",
    "waits": "yellow",
    "published, stale": "yellow",
    "published, waits": "yellow",
    STARTED: "bold yellow",
    REFUSED: "bold red",
    WITHDRAWN: "red",
    "-": "dim",
}


@dataclass(frozen=True)
class StatusCell:
    """A step of a day: `state` is done, published, provisional, stale, waits, started, refused, unpublished or -.

    A day that readers still see says so: `published, stale`, `published, waits`.
    """

    state: str
    reason: str = ""


def days_to_show(config: Config, *, last: date | None, days: int) -> list[date]:
    """`days` days that end with `last`, without it with the last that landed or was built; none before history began.

    Raises
    ------
    InputError
        Nothing has landed.
    """
    landed = landed_days(config.landing, "impressions")
    known = [*landed, *(day for _, day in all_latest(config))]
    if not known:
        remedy = "check `landing` in the config, or make a world with `headrace simulate`"
        raise InputError(config.landing, found="no day of impressions", wanted="landing files", remedy=remedy)
    last = last or max(landed, default=max(known))
    first = max(config.start_ds or min(known), last - timedelta(days=days - 1))
    return list(day_range(min(first, last), last))


def status_grid(config: Config, *, days: Sequence[date]) -> dict[tuple[date, str], StatusCell]:
    """(day, step) -> what stands there; steps in order, and after them those beside the chain that were ever built.

    stale: its own inputs, configuration or code changed; waits: it stands, but something before it is to be built again
    and may change its inputs; started: a build of it runs, or was killed.
    """
    latest = all_latest(config)
    known = Known(config, {key: r for key, r in latest.items() if r.status != STARTED})
    found: dict[tuple[date, str], StatusCell] = {}
    ingested = {day: _cell(known, latest, "ingest", day) for day in sorted({d for j, d in latest if j == "ingest"})}
    for day in days:
        mature = day + timedelta(days=config.labels.maturity_days)
        behind = _lies_behind(ingested, last=mature)
        for step in STEPS:
            cell = ingested.get(day) if step.name == "ingest" else None
            cell = cell or _cell(known, latest, step.name, day)
            cell = _waiting(cell) if behind and step.name != "ingest" else cell
            behind = behind or cell.state not in _STANDS
            found[day, step.name] = cell
        found |= _beside(known, latest, day, behind=_lies_behind(ingested, last=day))
    return found


def _lies_behind(ingested: Mapping[date, StatusCell], *, last: date) -> bool:
    """Whether a day of history until `last` is to be ingested again."""
    return any(cell.state not in ("done", "-") for day, cell in ingested.items() if day <= last)


def _waiting(cell: StatusCell) -> StatusCell:
    """What stands, where something before it does not."""
    if cell.state not in _STANDS:
        return cell
    state = "published, waits" if cell.state == "published" else "waits"
    return StatusCell(state, "something before it is to be built again")


def _beside(
    known: Known, latest: Mapping[tuple[str, date], Receipt], day: date, *, behind: bool
) -> dict[tuple[date, str], StatusCell]:
    """Cells of the steps beside the chain, of those that any day has: publishing waits for none of them."""
    built = {job for job, _ in latest}
    behind = behind or _cell(known, latest, "tiles", day).state != "done"
    cells = {step.name: _cell(known, latest, step.name, day) for step in SIDE_STEPS if step.name in built}
    return {(day, name): _waiting(cell) if behind else cell for name, cell in cells.items()}


def _cell(known: Known, latest: Mapping[tuple[str, date], Receipt], job: str, day: date) -> StatusCell:
    standing = latest.get((job, day))
    if standing is None:
        return StatusCell("-")
    if standing.status == STARTED:
        return StatusCell(STARTED, f"since {standing.started_at:%Y-%m-%d %H:%M} UTC; it runs, or was killed")
    if standing.status in (WITHDRAWN, REFUSED):
        return StatusCell(standing.status, standing.notes.get("reason", standing.notes.get("refused", "")))
    reason = why_not_done(known, asked_receipt(known, job, day))
    if "provisional" in standing.notes:
        return StatusCell("provisional", standing.notes["provisional"])
    if reason:
        return StatusCell("published, stale" if standing.status == "published" else "stale", reason)
    accepted = standing.notes.get("accepted")
    return StatusCell(standing.status, f"accepted: {accepted}" if accepted else "")


def status_facts(config: Config, *, days: Sequence[date]) -> dict[str, Any]:
    """The grid as JSON has it: `root`, and in `days` one entry a day with the `state` and `reason` of each of its `steps`."""
    grid = status_grid(config, days=days)
    each = {day: {step: asdict(cell) for (ds, step), cell in grid.items() if ds == day} for day in days}
    return {"root": config.root, "days": [{"ds": str(day), "steps": steps} for day, steps in each.items()]}


def show_status(config: Config, *, days: Sequence[date], console: Console) -> None:
    """Print the grid, then every reason with its days."""
    grid = status_grid(config, days=days)
    steps = list(dict.fromkeys(step for _, step in grid))
    table = Table(title=f"{config.root}", title_justify="left", header_style="bold", box=SIMPLE)
    table.add_column("day", no_wrap=True)
    for step in steps:
        table.add_column(step, no_wrap=True)
    for day in days:
        cells = [grid[day, step].state for step in steps]
        table.add_row(str(day), *[f"[{_STYLES.get(state, 'white')}]{state}[/]" for state in cells])
    console.print(table)
    for step in steps:
        reasons = {day: grid[day, step].reason for day in days if grid[day, step].reason}
        for reason, reached in grouped(reasons).items():
            span = str(reached[0]) if len(reached) == 1 else f"{len(reached)} days {reached[0]} .. {reached[-1]}"
            console.print(f"{step} {span}: {reason}", markup=False, soft_wrap=True)
