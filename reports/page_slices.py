"""The slices of the last day as arrays: every feature in every slice value, and what is worst among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reports.page_text import texts_of
from reports.read import STATES

__all__ = ["SliceCells", "slice_cells", "slice_rows", "worst_slices"]

WORST, WORST_OF_FEATURE = 10, 3
"""Slice values on the first screen, and how many of them one feature may take."""

_CELLS = (
    "weight", "coverage", *(f"weight_{state}" for state in STATES),
    "psi", "coverage_change", "coverage_change_low", "coverage_change_high",
)  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SliceCells:
    """Cells by feature F and slice value V; NaN is no data.

    Attributes
    ----------
    features : F names, as the table has them
    slices, values : V texts, ready to show, by slice and within one by weight, the heaviest first
    rows, weight : (V,) of the slice value, the same for all its features
    cells : column of the table to its (F, V) numbers
    """

    features: list[str]
    slices: list[str]
    values: list[str]
    rows: Floats
    weight: Floats
    cells: Mapping[str, Floats]

    def share(self, state: str) -> Floats:
        """(F, V): weight in a state over the weight; NaN where there is no weight."""
        weight = self.cells["weight"]
        return np.divide(self.cells[f"weight_{state}"], weight, out=np.full(weight.shape, np.nan), where=weight > 0)


def slice_cells(table: pa.Table | None) -> SliceCells | None:
    """Arrays of the rows of one day; None where there are none."""
    if table is None:
        return None
    names, feature = _places(table["feature"].to_pylist())
    pairs, pair = _places(zip(table["slice"].to_pylist(), table["value"].to_pylist(), strict=True))
    total = {name: np.zeros(len(pairs)) for name in ("rows", "weight")}
    for name, most in total.items():
        np.maximum.at(most, pair, np.nan_to_num(_floats(table, name)))
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i][0], -total["weight"][i], pairs[i][1] or ""))
    place = np.argsort(order)[pair]
    cells = {name: np.full((len(names), len(pairs)), np.nan) for name in _CELLS}
    for name in set(_CELLS) & set(table.column_names):
        cells[name][feature, place] = _floats(table, name)
    cells["coverage"][~(cells["weight"] > 0)] = np.nan
    slices, values = _texts([pairs[i] for i in order])
    return SliceCells(names, slices, values, total["rows"][order], total["weight"][order], cells)


def _places(keys: Iterable[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Different keys in the order of their first row, and for every row the place of its key."""
    known: dict[Any, int] = {}
    places = [known.setdefault(key, len(known)) for key in keys]
    return list(known), np.asarray(places, np.int64)


def _floats(table: pa.Table, name: str) -> Floats:
    """A column as (N,) doubles; null, NaN and infinity are NaN."""
    values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _texts(pairs: list[tuple[str, str | None]]) -> tuple[list[str], list[str]]:
    """Texts of slices and of values, the values of one slice told apart."""
    of_slice: dict[str, list[str | None]] = {}
    for name, value in pairs:
        of_slice.setdefault(name, []).append(value)
    texts = texts_of(of_slice)
    slices = [text for text, values in zip(texts, of_slice.values(), strict=True) for _ in values]
    return slices, [text for values in of_slice.values() for text in texts_of(values)]


def slice_rows(found: SliceCells | None) -> list[dict[str, Any]]:
    """One entry per slice value: rows seen, estimated traffic, coverage of all features and the lowest one."""
    if found is None:
        return []
    covered = found.cells["weight_real"] + found.cells["weight_true_zero"]
    counts = np.isfinite(covered) & (found.cells["weight"] > 0)
    weight = np.where(counts, found.cells["weight"], 0.0).sum(axis=0)
    share = np.where(counts, covered, 0.0).sum(axis=0) / np.where(weight > 0, weight, np.nan)
    coverage = np.where(np.isnan(found.cells["coverage"]), np.inf, found.cells["coverage"])
    lowest = coverage.argmin(axis=0)
    rows = []
    for v, (name, value) in enumerate(zip(found.slices, found.values, strict=True)):
        least = coverage[lowest[v], v]
        rows.append(
            {
                "slice": name,
                "value": value,
                "rows": float(found.rows[v]),
                "weight": float(found.weight[v]),
                "coverage": None if np.isnan(share[v]) else float(share[v]),
                "lowest": found.features[lowest[v]] if np.isfinite(least) else None,
                "lowest_coverage": float(least) if np.isfinite(least) else None,
            }
        )
    return rows


def worst_slices(found: SliceCells | None) -> list[dict[str, Any]]:
    """Where coverage fell by more than chance: the interval of its change is below 0; the most lost traffic first."""
    if found is None:
        return []
    change, high = (found.cells[name] for name in ("coverage_change", "coverage_change_high"))
    lost = np.where(high < 0, -change * found.cells["weight"], 0.0)
    worst: list[dict[str, Any]] = []
    taken: dict[int, int] = {}
    for place in np.argsort(-np.nan_to_num(lost), axis=None, kind="stable"):
        f, v = (int(at) for at in np.unravel_index(place, lost.shape))
        if not lost[f, v] > 0 or len(worst) == WORST:
            break
        taken[f] = taken.get(f, 0) + 1
        if taken[f] <= WORST_OF_FEATURE:
            worst.append(_lost_cell(found, f, v) | {"lost": float(lost[f, v])})
    return worst


def _lost_cell(found: SliceCells, f: int, v: int) -> dict[str, Any]:
    names = {"coverage": "coverage", "change": "coverage_change"}
    names |= {"low": "coverage_change_low", "high": "coverage_change_high"}
    cell = {name: float(found.cells[column][f, v]) for name, column in names.items()}
    where = {"feature": found.features[f], "slice": found.slices[v], "value": found.values[v]}
    return where | {name: None if np.isnan(value) else value for name, value in cell.items()}
