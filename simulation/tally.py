"""Running totals of the truth, in constant memory."""

import pyarrow as pa
import pyarrow.compute as pc

from simulation.spec import TableSummary, WorldSpec, WorldSummary

__all__ = ["Tally"]

_HAPPENED = {"click": "clicked", "like": "liked", "collect": "collected", "share": "shared"}


class Tally:
    """Sums over the truth rows added so far; `rows` counts them."""

    def __init__(self) -> None:
        self.rows, self._videos = 0, 0
        self._expected = dict.fromkeys((*_HAPPENED, "watch_s"), 0.0)
        self._realised = dict.fromkeys((*_HAPPENED, "watch_s"), 0.0)

    def add(self, truth: pa.Table) -> None:
        """Add rows of tables.TRUTH."""
        self.rows += truth.num_rows
        self._videos += truth.num_rows - truth["watch_s"].null_count
        for name, column in _HAPPENED.items():
            self._expected[name] += pc.sum(truth[f"p_{name}"]).as_py()
            self._realised[name] += pc.sum(truth[column]).as_py()
        self._expected["watch_s"] += pc.sum(truth["expected_watch_s"]).as_py() or 0.0
        self._realised["watch_s"] += pc.sum(truth["watch_s"]).as_py() or 0.0

    def summary(self, spec: WorldSpec, tables: dict[str, TableSummary]) -> WorldSummary:
        """Means per impression (of watch_s: per impression of a video), beside the spec and the tables."""
        over = {name: max(1, self._videos if name == "watch_s" else self.rows) for name in self._expected}
        return WorldSummary(
            spec=spec,
            tables=tables,
            truth_rows=self.rows,
            expected={name: round(total / over[name], 9) for name, total in self._expected.items()},
            realised={name: round(total / over[name], 9) for name, total in self._realised.items()},
        )
