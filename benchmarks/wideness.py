"""The features of the wide benchmark, as plain data that each engine reads: 600 in 12 groups, or 60 in 2 or in 12."""

from dataclasses import dataclass

from benchmarks.names import ENTITIES

__all__ = ["SETS", "WideGroup", "WideMetric", "wide_groups", "wide_names"]

SETS = ("600", "60", "60_in_12")
_GROUPS = 6  # of each entity
_ACTIONS = ("impression", "click", "like", "collect")


@dataclass(frozen=True)
class WideMetric:
    """Counts an action, or sums the seconds of watch events above `above`."""

    name: str
    action: str
    above: int | None = None

    @property
    def aggregate(self) -> str:
        """What the group keeps of it."""
        return "count" if self.above is None else "sum"


@dataclass(frozen=True)
class WideGroup:
    """One group: `windows` from name to hours, none the same as another group's."""

    entity: str
    number: int
    windows: dict[str, int]
    metrics: tuple[WideMetric, ...]

    @property
    def name(self) -> str:
        """`user_0`."""
        return f"{self.entity}_{self.number}"

    def column(self, metric: WideMetric, window: str) -> str:
        """As Headrace names it."""
        return f"{self.entity}_{metric.name}_{metric.aggregate}_{window}"


def wide_groups(which: str) -> list[WideGroup]:
    """Groups of one of SETS."""
    return [
        WideGroup(entity, n, _windows(n), tuple(_metric(n, place) for place in _places(which, n)))
        for entity in ENTITIES
        for n in range(1 if which == "60" else _GROUPS)
    ]


def wide_names(which: str) -> list[str]:
    """Every feature column of one of SETS."""
    return [g.column(m, w) for g in wide_groups(which) for m in g.metrics for w in g.windows]


def _places(which: str, number: int) -> list[int]:
    """Places of the group's metrics: ten, six, or one."""
    return {"600": list(range(10)), "60": [0, 1, 2, 3, 8, 9], "60_in_12": [8 if number % 2 else number]}[which]


def _metric(number: int, place: int) -> WideMetric:
    name = f"m{number}_{place}"
    if place >= 8:
        return WideMetric(name, "watch", above=5 * number + place)
    return WideMetric(name, _ACTIONS[place % len(_ACTIONS)])


def _windows(number: int) -> dict[str, int]:
    hours = {f"{h}h": h for h in (1 + number, 12 + number)}
    return hours | {f"{d}d": 24 * d for d in (2 + number, 8 + number, 20 + number)}
