"""Tables that several writers share: each keeps its rows in files of its own, and replaces those without reading any."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Column
from pyspark.sql import functions as F

from headrace.delta import DeltaFile, files_of
from headrace.errors import ConfigError

__all__ = ["Share"]


@dataclass(frozen=True)
class Share:
    """One writer's rows of a shared table: those whose text in `column` begins with `begins`.

    Values that begin alike lie side by side, so that least and greatest of a file tell whose it is.
    """

    column: str
    begins: str

    def parts(self) -> list[Column]:
        """Conditions that tell these rows from those before and those after them: files of a part lie beside the others'."""
        column = F.col(self.column)
        own, before = column.startswith(self.begins), column < self.begins
        return [own, before, ~own & ~before]

    def split(self, standing: DeltaTable, *, days: Sequence[date]) -> tuple[list[DeltaFile], list[DeltaFile]]:
        """Files of the days in which all rows are this writer's, and those that may hold some beside others'."""
        bounds, files = self._bounds(standing), files_of(standing, days=days)
        own = [file for file in files if self._whole(bounds[file.path])]
        return own, [f for f in files if not self._whole(bounds[f.path]) and not self._none(bounds[f.path])]

    def is_apart(self, standing: DeltaTable, *, days: Sequence[date]) -> bool:
        """Whether no file of the days may hold this writer's rows beside those of others."""
        return not self.split(standing, days=days)[1]

    def check_apart(self, uri: str, *, days: Sequence[date]) -> None:
        """Raise ConfigError where files of this writer's rows cannot be told from others'."""
        if not self.is_apart(DeltaTable(uri), days=days):
            raise ConfigError(
                uri,
                found=f"a log that does not keep the least and greatest {self.column} of every file",
                wanted="them, for they tell whose rows a file holds",
                remedy="unset the table's properties delta.dataSkippingNumIndexedCols and delta.dataSkippingStatsColumns",
            )

    def _whole(self, bounds: tuple[str | None, str | None]) -> bool:
        return all(bound is not None and bound.startswith(self.begins) for bound in bounds)

    def _none(self, bounds: tuple[str | None, str | None]) -> bool:
        low, high = bounds
        return low is not None and high is not None and (high < self.begins or low[: len(self.begins)] > self.begins)

    def _bounds(self, standing: DeltaTable) -> dict[str, tuple[str | None, str | None]]:
        """Least and greatest text of every file; None where the log does not say."""
        actions = pa.table(standing.get_add_actions(flatten=True))
        paths = [unquote(path) for path in actions.column("path").to_pylist()]
        unknown = [None] * len(paths)
        low, high = (
            actions.column(name).to_pylist() if (name := f"{side}.{self.column}") in actions.column_names else unknown
            for side in ("min", "max")
        )
        return dict(zip(paths, zip(low, high, strict=True), strict=True))
