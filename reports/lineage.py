"""Which tables a feature is made of, from the declarations alone: what `blame` follows upstream. Plain data, no Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.config import Cell, Config, feature_columns, group_cells

if TYPE_CHECKING:
    from headrace.config import Group

__all__ = ["Lineage", "lineage"]

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Lineage:
    """Where one feature comes from.

    Attributes
    ----------
    feature, source : str
        Column, and `group:<name>`, `profile:user`, `profile:item` or `context`.
    landing : tuple of str
        Ingested tables that its value is made of, in the order of ingest.
    group, entity, segment : str
        Of a statistic; empty for a profile column (entity is set) and for context.
    aggregate, window : str
        As declared; empty where there is none.
    metrics : tuple of str
        Its metric, then the denominator of a rate.
    reach : timedelta or None
        How far before as_of an event still counts; None: without end.
    lag : timedelta
        How far as_of may lie before the request: delay + refresh.
    """

    feature: str
    source: str
    landing: tuple[str, ...]
    group: str = ""
    entity: str = ""
    segment: str = ""
    aggregate: str = ""
    window: str = ""
    metrics: tuple[str, ...] = ()
    reach: timedelta | None = timedelta(0)
    lag: timedelta = timedelta(0)

    @property
    def tiles(self) -> str:
        """Table of tiles between the landing tables and the feature; empty without a group."""
        return f"tiles_{self.group}" if self.group else ""

    @property
    def lag_days(self) -> int:
        """`lag` in days, rounded up."""
        return -(-self.lag // _DAY)

    @property
    def steps(self) -> list[dict[str, str]]:
        """Tables as `{"table", "kind"}`, upstream first; kind is landing, profile or tiles."""
        kinds = [(name, "profile" if name.endswith("_profile") else "landing") for name in self.landing]
        return [{"table": name, "kind": kind} for name, kind in [*kinds, (self.tiles, "tiles")] if name]


def lineage(config: Config) -> dict[str, Lineage]:
    """Lineage of every feature of the training set, in the order of its columns."""
    cells = {cell.name: (name, cell) for name, group in config.features.groups.items() for cell in group_cells(group)}
    found = {}
    for feature in feature_columns(config):
        if feature.name in cells and feature.source.startswith("group:"):
            found[feature.name] = _of_statistic(config, feature.source, *cells[feature.name])
        elif feature.source == "context":
            found[feature.name] = Lineage(feature.name, feature.source, ("impressions",))
        else:
            entity = feature.source.removeprefix("profile:")
            found[feature.name] = Lineage(feature.name, feature.source, (f"{entity}_profile",), entity=entity)
    return found


def _of_statistic(config: Config, source: str, name: str, cell: Cell) -> Lineage:
    group = config.features.groups[name]
    metrics = tuple(m for m in (cell.metric, cell.over) if m)
    windows = [w for w in (cell.window, cell.longer) if w is not None]
    lengths = [w.ends + w.length for w in windows if w.length is not None]
    endless = not windows or len(lengths) < len(windows)
    return Lineage(
        cell.name,
        source,
        tuple(_landing(config, group, cell, metrics)),
        group=name,
        entity=group.entity,
        segment=group.segment or "",
        aggregate=cell.aggregate,
        window=cell.window.name if cell.window else "",
        metrics=metrics,
        reach=None if endless else max(lengths),
        lag=group.delay + group.refresh,
    )


def _landing(config: Config, group: "Group", cell: Cell, metrics: tuple[str, ...]) -> Iterator[str]:
    """Impressions make a key known (S17), engagements are counted, profiles give segments, conditions, values, authors."""
    declared = [config.features.metrics[m] for m in metrics]
    yield "impressions"
    if any(metric.action != "impression" for metric in declared):
        yield "engagements"
    asked = [group.segment or "", cell.of, *(c.column for metric in declared for c in metric.where)]
    sources = {column.split(".")[0] for column in asked}
    if group.entity == "author" or cell.of == "author_id":
        sources.add("item")  # authors are reached through the item's author_id
    yield from (f"{entity}_profile" for entity in ("user", "item") if entity in sources)
