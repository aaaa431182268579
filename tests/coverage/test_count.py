"""Every fact of the coverage table against the same by hand, over rows made to be awkward; and merges against the whole."""

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.states import STATES
from headrace.config import Feature
from headrace.config.coverage import Slice
from reports.count import Chunk, count_chunk
from reports.parts import merge
from reports.rows import PART_COLUMNS, codes_of, coverage_rows, group_of, merged_days
from reports.slices import OTHER, Cut
from tests.coverage.oracle import by_hand, check_row

ROWS, DAY = 6000, 19_800
KINDS = {
    "count": "bigint", "edge": "bigint", "big": "bigint", "rate": "double", "awkward": "double", "constant": "double", "empty": "double",
    "word": "string", "flag": "boolean", "list": "array<bigint>",
}  # fmt: skip
FEATURES = [Feature(name, kind, "", "group:user", None, "") for name, kind in KINDS.items()]
TYPES = [(f.name, f.type) for f in FEATURES]


def _world(seed: int, *, weights: str) -> tuple[dict[str, pa.Array], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {
        "count": rng.poisson(3, ROWS).tolist(),
        "edge": rng.integers(120, 130, ROWS).tolist(),
        "big": (rng.integers(-5, 2**40, ROWS) // rng.integers(1, 2**30, ROWS)).tolist(),
        "rate": (rng.integers(0, 5, ROWS) / 7).tolist(),
        "awkward": rng.choice([-1e-310, -2.5, 1e200, math.inf, -math.inf, 3.0, 1e-9, 4.0], ROWS).tolist(),
        "constant": [1e9 + 0.1] * ROWS,
        "empty": [None] * ROWS,
        "word": [f"w{n}" for n in rng.zipf(1.6, ROWS) % 400],
        "flag": rng.choice([True, False], ROWS).tolist(),
        "list": [[1]] * ROWS,
    }
    states = rng.choice(6, (len(FEATURES), ROWS), p=[0.6, 0.05, 0.1, 0.1, 0.05, 0.1]).astype(np.uint8)
    states[list(KINDS).index("empty")] = rng.choice([2, 3, 4, 5], ROWS)
    arrays = {}
    for place, (name, values) in enumerate(columns.items()):
        if KINDS[name] in ("bigint", "double"):
            zero = np.array([value == 0 for value in values])
            states[place] = np.where(zero & (states[place] == 0), 1, states[place])
            values = [0 if s == 1 else v for v, s in zip(values, states[place], strict=True)]
            kind = pa.int64() if KINDS[name] == "bigint" else pa.float64()
        else:
            states[place] = np.where(states[place] == 1, 0, states[place])
            kind = {"string": pa.string(), "boolean": pa.bool_(), "array<bigint>": pa.list_(pa.int64())}[KINDS[name]]
        values = [None if s in (3, 5) else v for v, s in zip(values, states[place], strict=True)]
        arrays[name] = pa.array(values, kind)
    arrays["scene"] = pa.array(rng.choice(["feed", "search", OTHER, ""], ROWS).tolist()).dictionary_encode()
    arrays["city"] = pa.array([None if n == 0 else f"c{n}" for n in rng.integers(0, 9, ROWS)])
    drawn = (
        rng.choice([1.0, 10.0, 3.333333], ROWS) if weights == "few" else np.rint(rng.uniform(1, 20, ROWS) * 1e6) / 1e6
    )
    return arrays, states, drawn


CUTS = [
    Cut(Slice(name="scene", column="scene"), ("feed", "search", "", OTHER, None)),
    Cut(Slice(name="city", column="city"), ("c1", "c2", "c3", OTHER, None)),
    Cut(Slice(name="band", column="rate", edges=[0.2, 0.5]), ("< 0.2", "0.2 to 0.5", ">= 0.5", None)),
    Cut(Slice(name="known_user", known="user"), ("known", "never seen"), 3),
]


def _where(arrays: dict[str, pa.Array], states: np.ndarray) -> dict[str, list[str | None]]:
    scene, city, rate = (arrays[name].to_pylist() for name in ("scene", "city", "rate"))
    return {
        "all": ["all"] * ROWS,
        "scene": [OTHER if s == OTHER else s for s in scene],
        "city": [c if c in ("c1", "c2", "c3", None) else OTHER for c in city],
        "band": [None if r is None else "< 0.2" if r < 0.2 else "0.2 to 0.5" if r < 0.5 else ">= 0.5" for r in rate],
        "known_user": ["never seen" if s == 5 else "known" for s in states[3]],
    }


def _counted(arrays: dict[str, pa.Array], states: np.ndarray, weights: np.ndarray, *, pieces: int = 1) -> pa.Table:
    """Rows of the coverage table, counted in some pieces."""
    parts = []
    for own in np.array_split(np.random.default_rng(pieces).permutation(ROWS), pieces):
        taken = {name: array.take(pa.array(own)) for name, array in arrays.items()}
        chunk = Chunk(DAY, np.ascontiguousarray(states[:, own]), weights[own], taken.__getitem__)
        parts += list(count_chunk(chunk, FEATURES, CUTS))
    together = pa.concat_tables(parts)
    keys = [codes_of(together.column(name).combine_chunks()) for name in ("slice", "value")]
    group = group_of([together.column("feature").to_numpy(), *keys])
    return coverage_rows(merge(together, group, most_texts=50), features=TYPES)


@pytest.mark.parametrize("weights", ["few", "many"])
def test_every_fact_is_what_it_is_by_hand(weights: str) -> None:
    arrays, states, drawn = _world(3, weights=weights)
    found = {(r["feature"], r["slice"], r["value"]): r for r in _counted(arrays, states, drawn, pieces=3).to_pylist()}
    looked = 0
    for place, feature in enumerate(FEATURES):
        for name, where in _where(arrays, states).items():
            values = arrays[feature.name].to_pylist()
            values = [str(v).lower() if isinstance(v, bool) else v for v in values]
            values = [None] * ROWS if feature.type.startswith("array") else values
            for value, facts in by_hand(values, states[place].tolist(), drawn.tolist(), where).items():
                check_row(found.pop((feature.name, name, value)), facts, feature, whole=name == "all")
                looked += 1
    assert found == {}
    assert looked == len(FEATURES) * (1 + 4 + 5 + 4 + 2)


def test_pieces_make_no_difference_to_what_is_hashed() -> None:
    arrays, states, drawn = _world(4, weights="few")
    exact = [n for n in _counted(arrays, states, drawn).column_names if n not in ("mean", "std", "effective_rows")]
    one, five = (_counted(arrays, states, drawn, pieces=n).select(exact) for n in (1, 5))
    order = [("feature", "ascending"), ("slice", "ascending"), ("value", "ascending")]
    assert one.sort_by(order).to_pylist() == five.sort_by(order).to_pylist()


def test_days_merge_to_what_their_rows_are_together() -> None:
    arrays, states, drawn = _world(5, weights="few")
    whole = _counted(arrays, states, drawn)
    parts = []
    for day, own in enumerate(np.array_split(np.arange(ROWS), 4)):
        taken = {name: array.take(pa.array(own)) for name, array in arrays.items()}
        chunk = Chunk(DAY + day, np.ascontiguousarray(states[:, own]), drawn[own], taken.__getitem__)
        table = pa.concat_tables(count_chunk(chunk, FEATURES, CUTS))
        rows = coverage_rows(table, features=TYPES)
        parts.append(rows.append_column("first_ds", pa.nulls(rows.num_rows, pa.date32())))
    merged = merged_days(pa.concat_tables(parts).select([*PART_COLUMNS])).to_pylist()
    wanted = {(r["feature"], r["slice"], r["value"]): r for r in whole.to_pylist()}
    assert len(merged) == len(wanted)
    for row in merged:
        other = wanted[row["feature"], row["slice"], row["value"]]
        assert row["ds"] == date(1970, 1, 1) + timedelta(days=DAY + 3)
        for name in ("rows", "distinct", "bins", "bin_weights", "min", "max", "q50", *(f"rows_{s}" for s in STATES)):
            assert row[name] == other[name], name
        for name in ("weight", "mean", "std", "effective_rows"):
            assert row[name] == (None if other[name] is None else pytest.approx(other[name], rel=1e-9, abs=1e-9)), name
