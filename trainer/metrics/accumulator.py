"""Rows of many chunks, held compactly until the end, so that a metric is taken over all of them at once."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["Accumulator"]

_NO_LABEL = -1


class Accumulator:
    """Columns that grow chunk by chunk; whatever metric is taken of them at the end is exact over all rows.

    Memory is `row_bytes` a row, plus one column more while `column` joins its chunks. Five heads with int8 labels, float32
    logits, a float64 weight and two int64 ids take 5 + 20 + 8 + 16 = 49 bytes a row: 490 MB for 10 million.

    Parameters
    ----------
    columns : name -> dtype
        A numpy dtype ("float32", "float64", "int64", "int8", ...), or "label": 0, 1 or NaN in one byte. What is added is
        converted; float64 to float32 rounds (scores that rounding makes equal then tie), any other change is refused.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._kinds = dict(columns)
        self._types = {name: np.dtype(np.int8 if kind == "label" else kind) for name, kind in columns.items()}
        self._chunks: dict[str, list[npt.NDArray]] = {name: [] for name in columns}
        self._rows = 0

    @property
    def rows(self) -> int:
        """Rows added so far."""
        return self._rows

    @property
    def row_bytes(self) -> float:
        """Bytes that are held per row; 0 without rows."""
        held = sum(chunk.nbytes for chunks in self._chunks.values() for chunk in chunks)
        return held / self._rows if self._rows else 0.0

    def add(self, rows: Mapping[str, npt.ArrayLike]) -> None:
        """Append a chunk: every column, (B,) or (B, T); names that are no column are passed over. The arrays are copied.

        Raises
        ------
        ValueError
            A column is absent, of another length or width, or holds a value that its dtype cannot hold.
        """
        if missing := [name for name in self._types if name not in rows]:
            raise ValueError(f"Accumulator: found no column {', '.join(missing)}, wanted {', '.join(self._types)}")
        chunk = {name: self._compact(name, np.asarray(rows[name])) for name in self._types}
        for name, cells in chunk.items():
            before = self._chunks[name][0] if self._chunks[name] else cells
            if cells.ndim == 0 or len(cells) != len(next(iter(chunk.values()))) or cells.shape[1:] != before.shape[1:]:
                raise ValueError(f"Accumulator: found {name} of shape {cells.shape}, wanted that of its neighbours")
        for name, cells in chunk.items():
            self._chunks[name].append(cells)
        self._rows += len(next(iter(chunk.values()), ()))

    def _compact(self, name: str, cells: npt.NDArray) -> npt.NDArray:
        kind = self._types[name]
        if self._kinds[name] == "label":
            missing = np.isnan(cells)
            if not (missing | (cells == 0) | (cells == 1)).all():
                raise ValueError(f"Accumulator: found a {name} that is not 0, 1 or NaN")
            return np.where(missing, _NO_LABEL, cells).astype(np.int8)
        if kind.kind == "f":
            return cells.astype(kind)
        with np.errstate(invalid="ignore"):  # NaN as a whole number: the comparison says it better
            made = cells.astype(kind)
        if not (made == cells).all():
            raise ValueError(f"Accumulator: found a value of {name} that {kind} cannot hold")
        return made

    def merge(self, other: "Accumulator") -> None:
        """Append the rows of another accumulator of the same columns (another worker's), which is left as it is.

        Raises
        ------
        ValueError
            Columns, dtypes or widths differ.
        """
        if other._kinds != self._kinds:
            raise ValueError(f"Accumulator: found columns {other._kinds}, wanted {self._kinds}")
        if self._rows and other._rows:
            shapes = [{name: chunks[0].shape[1:] for name, chunks in one._chunks.items()} for one in (self, other)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"Accumulator: found widths {shapes[1]}, wanted {shapes[0]}")
        for name, chunks in other._chunks.items():
            self._chunks[name] += chunks
        self._rows += other._rows

    def column(self, name: str) -> npt.NDArray:
        """All rows of a column, (N,) or (N, T), in the order added; a label as float32 with NaN. Raises KeyError."""
        chunks = self._chunks[name]
        if not chunks:
            return np.empty(0, dtype=np.float32 if self._kinds[name] == "label" else self._types[name])
        if len(chunks) > 1:
            chunks[:] = [np.concatenate(chunks)]
        if self._kinds[name] != "label":
            return chunks[0]
        cells = chunks[0].astype(np.float32)
        cells[chunks[0] == _NO_LABEL] = np.nan
        return cells
