"""What each generated column of a group computes: one Cell per column, in the order of the training set. Plain data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.config.groups import Rate
from headrace.durations import Window

if TYPE_CHECKING:
    from headrace.config.groups import Group

__all__ = ["Cell", "group_cells"]

_PLAIN = ("count", "sum", "mean", "variance", "std")
_VALUES = ("min", "max", "first", "last")


@dataclass(frozen=True)
class Cell:
    """One column of a group.

    Attributes
    ----------
    name, aggregate, metric : str
        Column name, aggregate as declared in the group, and the metric (the numerator of a rate).
    window : Window or None
        None where the aggregate knows no window (recency, age, last_k).
    over, strength : denominator of a rate, and k of its smoothed form
    longer : the long window of a trend
    of, k, distinct : column whose values are kept, how many, and whether each once (last_k), or the size up to which
        distinct is exact
    quantile : share of the values at or below the wanted one
    part : `values`, `times` or `counts` of a list
    """

    name: str
    aggregate: str
    metric: str
    window: Window | None = None
    over: str = ""
    strength: float | None = None
    longer: Window | None = None
    of: str = ""
    k: int = 0
    distinct: bool = False
    quantile: float = 0.0
    part: str = "values"

    @property
    def kept(self) -> str:
        """Column of the log whose values are kept; an item's author stands there under the name it has as an entity."""
        return "author_id" if self.of == "item.author_id" else self.of.replace(".", "_")


def group_cells(group: "Group") -> list[Cell]:
    """Every column of a group, in order."""
    return [*_plain(group), *_rates(group), *_extremes(group), *_unbounded(group), *_lists(group)]


def _plain(group: "Group") -> Iterator[Cell]:
    for aggregate in _PLAIN:
        for m in getattr(group, aggregate):
            for w in group.windows:
                yield Cell(f"{group.prefix}_{m}_{aggregate}_{w.name}", aggregate, m, w)


def _rates(group: "Group") -> Iterator[Cell]:
    for rate in group.rates:
        aggregate = "rate" if rate.strength is None else "rate_smoothed"
        for w in group.windows:
            name = f"{group.prefix}_{rate.name}_{w.name}"
            yield Cell(name, aggregate, rate.numerator, w, over=rate.denominator, strength=rate.strength)
    for m in group.share:
        for w in group.windows:
            yield Cell(f"{group.prefix}_{m}_share_{w.name}", "share", m, w)
    for text, (short, longer) in group.trend.items():
        rate = Rate.parse(text)
        name = f"{group.prefix}_{rate.name}_trend_{short.name}_{longer.name}"
        yield Cell(name, "trend", rate.numerator, short, over=rate.denominator, longer=longer)


def _extremes(group: "Group") -> Iterator[Cell]:
    for aggregate in _VALUES:
        for m in getattr(group, aggregate):
            for w in group.windows:
                yield Cell(f"{group.prefix}_{m}_{aggregate}_{w.name}", aggregate, m, w)
    for m, shares in group.quantile.items():
        for q in shares:
            for w in group.windows:
                yield Cell(f"{group.prefix}_{m}_{_percent(q)}_{w.name}", "quantile", m, w, quantile=q)


def _percent(share: float) -> str:
    """0.5 is p50, 0.999 is p99_9."""
    return "p" + f"{share * 100:.6f}".rstrip("0").rstrip(".").replace(".", "_")


def _unbounded(group: "Group") -> Iterator[Cell]:
    for aggregate in ("recency", "age"):
        for m in getattr(group, aggregate):
            yield Cell(f"{group.prefix}_{m}_{aggregate}_s", aggregate, m)


def _lists(group: "Group") -> Iterator[Cell]:
    for m, listed in group.distinct.items():
        for one in listed:
            for w in group.windows:
                name = f"{group.prefix}_{m}_{_flat(one.of)}_distinct_{w.name}"
                yield Cell(name, "distinct", m, w, of=one.of, k=one.size)
    for m, tops in group.top_k.items():
        for top in tops:
            for w in group.windows:
                for part, tail in (("values", ""), ("counts", "_counts")):
                    name = f"{group.prefix}_{m}_top_{top.k}_{_flat(top.of)}{tail}_{w.name}"
                    yield Cell(name, "top_k", m, w, of=top.of, k=top.k, part=part)
    for m, lasts in group.last_k.items():
        for last in lasts:
            once = "_distinct" if last.distinct else ""
            for part in ("values", "times") if last.times else ("values",):
                tail = "_ts" if part == "times" else ""
                name = f"{group.prefix}_{m}_last_{last.k}{once}_{_flat(last.of)}{tail}"
                yield Cell(name, "last_k", m, of=last.of, k=last.k, distinct=last.distinct, part=part)


def _flat(column: str) -> str:
    return column.replace(".", "_")
