"""`headrace report --compare A B`: coverage and values of two days, configurations or snapshots side by side.

A side is `DAY`, `CONFIG.yaml@DAY` (training rows, weighed by traffic) or `stats@DAY` (the serve snapshot: keys, weighed alike).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from rich.console import Console

from headrace.config import Config, load_config
from headrace.config.columns import feature_columns
from headrace.errors import ConfigError
from reports.measured import Difference, Measured, difference
from reports.page_delta import Row, batches, not_held, open_table, rows_of
from reports.read import QUANTILES
from reports.snapshot_stats import snapshot_features

__all__ = ["Comparison", "Side", "compare", "compare_report", "read_side"]

_NEEDED = ("feature", "slice", "rows", "coverage", "weight_real", "weight_true_zero")
_LATER = ("type", "effective_rows", *QUANTILES, "bins", "bin_weights", "top_values", "top_weights")


@dataclass(frozen=True)
class Side:
    """What was asked for as A or B, and its features."""

    label: str
    is_snapshot: bool
    features: Mapping[str, Measured]


@dataclass(frozen=True)
class Comparison:
    """A and B: features of both, the greatest change of coverage first, and those of one side only."""

    a: Side
    b: Side
    differences: list[Difference]
    only_a: list[str]
    only_b: list[str]

    @property
    def weighing(self) -> str:
        """What a share means on each side, where that differs; else the empty string."""
        if self.a.is_snapshot == self.b.is_snapshot:
            return ""
        keys, rows = ("A", "B") if self.a.is_snapshot else ("B", "A")
        return (
            f"{keys} is a serve snapshot, in which every key counts once; {rows} are training rows, weighed by traffic: "
            "a difference may come from popular keys alone."
        )


def read_side(text: str, config: Config) -> Side:
    """Read what `DAY`, `CONFIG.yaml@DAY` or `stats@DAY` names; `config` is that of sides that name none.

    Raises
    ------
    ConfigError
        The text has another shape, or the configuration is wrong.
    InputError
        There is no coverage, or no snapshot, of the day.
    """
    before, _, day = text.rpartition("@")
    try:
        ds = date.fromisoformat(day)
    except ValueError:
        raise ConfigError(
            "report: --compare",
            found=repr(text),
            wanted="YYYY-MM-DD, CONFIG.yaml@YYYY-MM-DD or stats@YYYY-MM-DD",
            remedy="name two of these",
        ) from None
    if before == "stats":
        return Side(text, True, snapshot_features(config, ds=ds))
    return Side(text, False, _training_features(load_config(before) if before else config, ds=ds))


def _training_features(config: Config, *, ds: date) -> dict[str, Measured]:
    coverage = open_table(config.root, "coverage")
    where = pc.field("slice") == "all"
    rows = rows_of(batches(coverage, columns=_NEEDED, optional=_LATER, days=(ds, ds), where=where), absent=_LATER)
    if not rows:
        raise not_held(config.root, coverage, wanted=f"coverage of {ds}", ds=ds)
    types = {feature.name: feature.type for feature in feature_columns(config)}
    return {row["feature"]: _measured(row, types) for row in rows}


def _measured(row: Row, types: Mapping[str, str]) -> Measured:
    quantiles = tuple(row[name] for name in QUANTILES)
    return Measured(
        row["feature"],
        row["type"] or types.get(row["feature"], ""),
        row["coverage"],
        row["rows"] if row["effective_rows"] is None else row["effective_rows"],
        quantiles=() if None in quantiles else quantiles,
        bins=None if row["bins"] is None else np.array(row["bins"], np.int64),
        bin_weights=None if row["bins"] is None else np.array(row["bin_weights"], np.float64),
        texts=dict(zip(row["top_values"] or (), row["top_weights"] or (), strict=True)),
        valued=(row["weight_real"] or 0.0) + (row["weight_true_zero"] or 0.0),
    )


def compare(a: Side, b: Side) -> Comparison:
    """B beside A."""
    both = [name for name in a.features if name in b.features]
    found = [difference(a.features[name], b.features[name]) for name in both]
    found.sort(key=lambda one: (one.change is None, -abs(one.change or 0.0), one.feature))
    only = [sorted(one.features.keys() - other.features.keys()) for one, other in ((a, b), (b, a))]
    return Comparison(a, b, found, *only)


def compare_report(config: Config, a: str, b: str, *, out: Path, console: Console) -> Path:
    """Write the comparison as one offline HTML file, and print its greatest differences.

    Raises
    ------
    ConfigError
        A side has another shape, a configuration is wrong, or `out` cannot be written.
    InputError
        There is nothing to compare on one side.
    """
    from reports.page_compare import compare_table, write_comparison

    found = compare(read_side(a, config), read_side(b, config))
    page = write_comparison(found, out=out)
    console.print(compare_table(found))
    for text in _one_sided(found):
        console.print(text, markup=False)
    console.print(f"comparison: {page}", markup=False)
    return page


def _one_sided(found: Comparison) -> list[str]:
    said: list[Any] = [found.weighing]
    for label, names in ((found.a.label, found.only_a), (found.b.label, found.only_b)):
        said.append(f"only in {label}: {', '.join(names)}" if names else "")
    said += [f"{d.feature}: {d.a.type} in A, {d.b.type} in B" for d in found.differences if d.is_retyped]
    return [text for text in said if text]
