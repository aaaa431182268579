"""The cases as data: tests/conformance/cases/*.yaml, read and checked."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["TABLES", "Case", "Cell", "catalogue", "load_cases"]

HERE = Path(__file__).parent
TABLES = ("impressions", "engagements", "user_profile", "item_profile")
Cell = int | float | str | None


@dataclass(frozen=True)
class Case:
    """One small log, what is asked of it, and the values worked out by hand.

    Attributes
    ----------
    name, theme, sentence : str
        Name (unique), file it stands in, what is tested and why the value is what it is.
    number : int
        Place among all cases; ids of the case are moved by 1000 times this.
    rulings : list of str
        Rulings of docs/semantics.md that the case holds.
    world : str
        Entry of worlds.yaml.
    groups : list of dict
        Feature groups as in conf/features.yaml, without a name.
    rows : table -> rows
        As they land; `ds` is the landing day (without: the business day of arrival_ts, event_ts or valid_from).
    expect : impression_id -> feature -> value
        The impressions to be enriched and their cells; null is null.
    states : impression_id -> feature -> state
        Where the state of a cell matters too.
    accounting : table -> {in, out, quarantined, duplicates}
        Where the fate of the rows matters too (S13).
    format : str
        `parquet`, or `json` where the text of a moment matters; timestamps are then landed as they stand.
    own_ids : bool
        Ids are landed as they stand; nobody else may use them.
    """

    name: str
    theme: str
    number: int
    sentence: str
    rulings: list[str]
    groups: list[dict[str, Any]]
    rows: dict[str, list[dict[str, Any]]]
    expect: dict[int | str, dict[str, Cell]]
    world: str = "utc"
    states: dict[int | str, dict[str, str]] = field(default_factory=dict)
    accounting: dict[str, dict[str, int]] = field(default_factory=dict)
    format: str = "parquet"
    own_ids: bool = False

    @property
    def row_count(self) -> int:
        """Rows in all tables."""
        return sum(len(rows) for rows in self.rows.values())

    def moved(self, value: Any) -> Any:
        """An id of the case as it stands in the world."""
        return value if self.own_ids or not isinstance(value, int) else value + 1000 * self.number


class _PlainTimes(yaml.SafeLoader):
    """SafeLoader that leaves moments as text."""


_PlainTimes.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainTimes)


@cache
def catalogue() -> dict[str, Any]:
    """Metrics, actions and worlds that the cases share."""
    return dict(_read(HERE / "worlds.yaml"))


@cache
def load_cases() -> tuple[Case, ...]:
    """All cases, in the order of files and within them."""
    cases: list[Case] = []
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for entry in _read(path):
            rows = {name: entry.pop(name, []) for name in TABLES}
            entry["sentence"] = " ".join(entry["sentence"].split())
            cases.append(Case(theme=path.stem, number=len(cases) + 1, rows=rows, **entry))
    return tuple(cases)
