"""What a task needs to know of one group, and the tags under which what belongs to it travels."""

from dataclasses import dataclass

from features.state import StateColumns, state_columns
from features.windows import Span
from headrace.config import Cell, Group, Measure, group_cells, measures_of
from headrace.durations import Window, micros

__all__ = ["GroupPlan", "make_plan", "population_state_tag", "population_tag", "state_tag"]


@dataclass(frozen=True)
class GroupPlan:
    """What a task needs to know of one group; small and picklable.

    Attributes
    ----------
    name, entity, key, segment, as_of : str
        Group, its entity, and the row columns that hold its key, segment value (None without) and as_of in microseconds.
    tick, tolerance_us : int
        Microseconds of one tile, 1 with refresh 0; and of the age from which a value is stale.
    cells : tuple of Cell
        The columns, in order.
    windows : Window -> its number in `spans`
    spans : the windows in ticks
    measures : what the group's tiles hold
    state : what its state holds
    since : tick of the state that rows start from; None: from all tiles
    """

    name: str
    entity: str
    key: str
    segment: str | None
    as_of: str
    tick: int
    tolerance_us: int
    cells: tuple[Cell, ...]
    windows: dict[Window, int]
    spans: tuple[Span, ...]
    measures: tuple[Measure, ...]
    state: StateColumns
    since: int | None = None

    @property
    def population_metrics(self) -> list[str]:
        """Counts that the priors of smoothed rates need."""
        smoothed = [c for c in self.cells if c.aggregate == "rate_smoothed"]
        return sorted({side for c in smoothed for side in (c.metric, c.over)})


def make_plan(name: str, group: Group, *, tile_micros: int, as_of: str, types: dict[str, str]) -> GroupPlan:
    """Plan of one group; `as_of` names the row column that holds its moment, `types` are those of kept columns."""
    cells = tuple(group_cells(group))
    windows = {window: number for number, window in enumerate(group.all_windows)}
    spans = tuple(
        Span(micros(w.ends) // tile_micros, None if w.length is None else micros(w.length) // tile_micros)
        for w in windows
    )
    measures = tuple(measures_of(cells, types=types))
    return GroupPlan(
        name=name,
        entity=group.entity,
        key=f"{group.entity}_id",
        segment=group.segment_column,
        as_of=as_of,
        tick=tile_micros,
        tolerance_us=micros(group.tolerance),
        cells=cells,
        windows=windows,
        spans=spans,
        measures=measures,
        state=state_columns(cells, measures),
    )


def population_tag(plan: GroupPlan) -> str:
    """Tag under which a group's population travels beside its tiles."""
    return f"{plan.name}/population"


def state_tag(plan: GroupPlan) -> str:
    """Tag under which a group's state travels."""
    return f"{plan.name}/state"


def population_state_tag(plan: GroupPlan) -> str:
    """Tag under which the state of a group's population travels."""
    return f"{plan.name}/population/state"
