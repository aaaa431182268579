"""What a tile holds: one Measure per fact that some column of the group needs. Plain data; features/facts.py computes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.config.cells import Cell
from headrace.durations import Window

__all__ = ["LIMBS", "WHOLE_WINDOW", "Measure", "lasting_measures", "measures_of", "summed_columns"]

Operation = Literal["add", "least", "greatest", "first", "last", "tally", "hashes", "latest", "latest_once"]
WHOLE_WINDOW = ("min", "max", "first", "last", "distinct", "top_k", "quantile")  # cannot be subtracted
LIMBS = 5  # digits of a squared value in base 2^18


@dataclass(frozen=True)
class Measure:
    """One fact of a tile; its columns are named after `column`.

    Attributes
    ----------
    column : str
    operation : str
        add: a sum; least, greatest: null where there is none; first, last: the value at the earliest or latest event,
        ties by the value, as <column>_ts and <column>_value; tally: different values and how often, as <column>_values
        and <column>_counts; hashes: the smallest k hashes of different values; latest, latest_once: the newest k
        values, as <column>_ts and <column>_values.
    metric : str
    source : str
        one, units, moment, limb0 .. limb4 (of the squared units), bucket, or a column of the log.
    kind : str
        Spark type of the values.
    k : int
    """

    column: str
    operation: Operation
    metric: str
    source: str
    kind: str = "bigint"
    k: int = 0

    @property
    def columns(self) -> list[tuple[str, str, str]]:
        """Name, Spark type and meaning of each column in the table of tiles."""
        m, name = self.metric, self.column
        if self.operation in ("first", "last"):
            edge = "earliest" if self.operation == "first" else "latest"
            return [(f"{name}_ts", "timestamp", f"{edge} {m} event_ts"), (f"{name}_value", "bigint", "its microunits")]
        if self.operation == "tally":
            counts = (f"{name}_counts", "array<bigint>", "events of each")
            return [(f"{name}_values", f"array<{self.kind}>", f"different {self.source} of {m}"), counts]
        if self.operation == "hashes":
            return [(name, "array<bigint>", f"the smallest {self.k} hashes of {self.source} of {m}")]
        if self.operation in ("latest", "latest_once"):
            what = f"{self.source} of the newest {self.k} {m}"
            return [
                (f"{name}_values", f"array<{self.kind}>", what),
                (f"{name}_ts", "array<timestamp>", "their event_ts"),
            ]
        moment = self.source == "moment"
        return [(name, "timestamp" if moment else "bigint", f"{self.operation} {self.source} of {m}")]


def measures_of(cells: Iterable[Cell], *, types: Mapping[str, str]) -> list[Measure]:
    """What the tiles of a group with these columns must hold, each once, by name; `types` are those of kept columns."""
    found = {measure.column: measure for cell in cells for measure in _needed(cell, types)}
    return [found[name] for name in sorted(found)]


def _needed(cell: Cell, types: Mapping[str, str]) -> list[Measure]:
    m, aggregate = cell.metric, cell.aggregate
    count, total = Measure(f"{m}_count", "add", m, "one"), Measure(f"{m}_sum", "add", m, "units")
    kind = types.get(cell.of, "bigint")
    of = cell.kept
    if aggregate in ("rate", "rate_smoothed", "trend"):
        return [count, Measure(f"{cell.over}_count", "add", cell.over, "one")]
    if aggregate in ("variance", "std"):
        limbs = [Measure(f"{m}_square_{i}", "add", m, f"limb{i}") for i in range(LIMBS)]
        return [count, total, *limbs]
    if aggregate == "last_k":
        once = cell.distinct
        column = f"{m}_last_{cell.k}{'_distinct' if once else ''}_{of}"
        return [Measure(column, "latest_once" if once else "latest", m, of, kind, cell.k)]
    return {
        "count": [count],
        "share": [count],
        "sum": [total],
        "mean": [count, total],
        "min": [Measure(f"{m}_min", "least", m, "units")],
        "max": [Measure(f"{m}_max", "greatest", m, "units")],
        "first": [Measure(f"{m}_earliest", "first", m, "units")],
        "last": [Measure(f"{m}_latest", "last", m, "units")],
        "recency": [Measure(f"{m}_last_ts", "greatest", m, "moment")],
        "age": [Measure(f"{m}_first_ts", "least", m, "moment")],
        "quantile": [Measure(f"{m}_bucket", "tally", m, "bucket", "bigint")],
        "top_k": [Measure(f"{m}_{of}", "tally", m, of, kind)],
        "distinct": [Measure(f"{m}_{of}_hashes_{cell.k}", "hashes", m, of, kind, cell.k)],
    }[aggregate]


def summed_columns(cells: Sequence[Cell], measures: Sequence[Measure]) -> dict[tuple[str, Window], str]:
    """(additive tile column, window) -> name of the column in which a state keeps its sum."""
    additive = [m.column for m in measures if m.operation == "add"]
    return {
        (column, window): f"{column}__{window.name}"
        for cell in cells
        for window in (cell.window, cell.longer)
        for column in additive
        if window is not None and cell.aggregate not in WHOLE_WINDOW and column in _summed(cell)
    }


def lasting_measures(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """Measures of recency, age and last_k."""
    moments = [m for m in measures if m.operation in ("least", "greatest") and m.source == "moment"]
    return (*moments, *(m for m in measures if m.operation in ("latest", "latest_once")))


def _summed(cell: Cell) -> set[str]:
    """Tile columns whose window sums a cell uses."""
    m, a = cell.metric, cell.aggregate
    count = set() if a == "sum" else {f"{m}_count"}
    total = {f"{m}_sum"} if a in ("sum", "mean", "variance", "std") else set()
    squares = {f"{m}_square_{i}" for i in range(LIMBS)} if a in ("variance", "std") else set()
    return count | total | squares | ({f"{cell.over}_count"} if cell.over else set())
