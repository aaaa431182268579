"""`headrace features show`: windows, delay and refresh of every group, drawn on a line of time that ends at the request."""

import math
from datetime import timedelta

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from headrace.config import Config
from headrace.config import Group as FeatureGroup
from headrace.durations import Window, duration_name
from headrace.errors import ConfigError

__all__ = ["show_windows"]

_WIDTH = 72
_SMALLEST = timedelta(minutes=15)


def show_windows(config: Config, *, name: str | None, console: Console) -> None:
    """Draw one group, or all of them.

    Raises
    ------
    ConfigError
        No group of that name.
    """
    groups = config.features.groups
    if name is not None and name not in groups:
        raise ConfigError(
            f"--group {name}",
            found="no such group",
            wanted=f"one of {', '.join(groups)}",
            remedy="or leave --group out",
        )
    for one in [name] if name is not None else groups:
        console.print(_panel(one, groups[one], config))


def _panel(name: str, group: FeatureGroup, config: Config) -> Panel:
    refresh = "the moment itself" if not group.refresh else f"floored to {duration_name(group.refresh)}"
    grain = "one microsecond" if not group.refresh else duration_name(config.features.tile)
    of = f"{group.entity}{f' x {group.segment}' if group.segment else ''}"
    head = (
        f"as_of = request_ts - {duration_name(group.delay)}, {refresh}; tiles of {grain}; "
        f"older than {duration_name(group.tolerance)} is stale"
    )
    longest = max([w.ends + w.length for w in group.all_windows if w.length], default=timedelta(days=30))
    known = group.delay + group.refresh
    lines = [Text(head), Text(_scale(longest + known), style="dim")]
    lines += [_line(w, group=group, longest=longest + known) for w in sorted(group.all_windows, key=_length)]
    lines.append(
        Text(f"{'':<24}{'█ counted   ░ the refresh moves the edges this far   · not yet known (delay)'}", style="dim")
    )
    return Panel(Group(*lines), title=f"{name}: {of}", title_align="left")


def _length(window: Window) -> tuple[timedelta, timedelta]:
    return window.length or timedelta.max, window.ends


def _column(before: timedelta, longest: timedelta) -> int:
    """Place of a moment so long before the request, on a logarithmic scale; the request stands at the right end."""
    span = math.log(1 + longest / _SMALLEST)
    return round(_WIDTH * (1 - math.log(1 + max(before, timedelta(0)) / _SMALLEST) / span))


def _line(window: Window, *, group: FeatureGroup, longest: timedelta) -> Text:
    """The window as it is for a request right on a refresh, and how much older it may be."""
    newest = group.delay + window.ends
    oldest = longest if window.length is None else newest + window.length
    cells = [" "] * _WIDTH
    for place in range(_column(oldest, longest), max(_column(newest, longest), _column(oldest, longest) + 1)):
        cells[min(place, _WIDTH - 1)] = "█"
    for place in range(_column(newest + group.refresh, longest), _column(newest, longest)):
        cells[place] = "░"
    for place in range(_column(group.delay, longest), _WIDTH):
        cells[place] = "·"
    return Text(f"{window.name:<24}") + Text("".join(cells), style="cyan") + Text("▏request")


def _scale(longest: timedelta) -> str:
    marks = [timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(days=365)]
    cells = [" "] * (_WIDTH + 8)
    for mark in (m for m in marks if m <= longest):
        for offset, letter in enumerate(duration_name(mark)):
            cells[_column(mark, longest) + offset] = letter
    return f"{'before the request':<24}{''.join(cells)}"
