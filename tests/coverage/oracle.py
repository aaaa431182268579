"""Coverage by hand: plain Python over rows, one feature and slice value at a time."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from features.states import STATES
from headrace.config import Feature

__all__ = ["by_hand", "check_row"]


def by_hand(
    values: Sequence[Any], states: Sequence[int], weights: Sequence[float], where: Sequence[str | None]
) -> dict[str | None, dict[str, Any]]:
    """Facts of one feature for every value of one slice."""
    rows: Mapping[str | None, list[tuple[Any, int, float]]] = defaultdict(list)
    for row in zip(values, states, weights, where, strict=True):
        rows[row[3]].append(row[:3])
    return {at: _facts(own) for at, own in rows.items()}


def _facts(rows: list[tuple[Any, int, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": len(rows), "weight": math.fsum(w for _, _, w in rows)}
    for number, state in enumerate(STATES):
        own = [w for _, s, w in rows if s == number]
        found |= {f"rows_{state}": len(own), f"weight_{state}": math.fsum(own)}
    found["effective_rows"] = found["weight"] ** 2 / math.fsum(w * w for _, _, w in rows)
    measured = [(v, w) for v, s, w in rows if s <= 1 and v is not None]
    found["distinct"] = len({v for v, _ in measured})
    numbers = [(float(v), w) for v, w in measured if not isinstance(v, str)]
    finite = [(v, w) for v, w in numbers if math.isfinite(v)]
    found["rows_infinite"] = len(numbers) - len(finite)
    total = math.fsum(w for _, w in finite)
    mean = math.fsum(v * w for v, w in finite) / total if finite else math.nan
    found["mean"] = mean if finite else None
    far = max((abs(v) for v, _ in finite), default=0) > 1e150
    found["std"] = math.sqrt(math.fsum(w * (v - mean) ** 2 for v, w in finite) / total) if finite and not far else None
    found["min"] = min((v for v, _ in finite), default=None)
    found["max"] = max((v for v, _ in finite), default=None)
    found["numbers"] = numbers
    texts: Counter[str] = Counter()
    for v, w in measured:
        if isinstance(v, str):
            texts[v] += w  # type: ignore[assignment]
    found["texts"] = texts
    return found


def weighted_quantile(numbers: Sequence[tuple[float, float]], share: float) -> float:
    """The least number whose cumulated weight reaches the share."""
    ordered = sorted(numbers)
    wanted = share * math.fsum(w for _, w in ordered) * (1 - 1e-12)
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= wanted:
            return value
    return ordered[-1][0]


def check_row(row: dict[str, Any], facts: dict[str, Any], feature: Feature, *, whole: bool) -> None:
    """A row of `coverage` says what `by_hand` found."""
    assert row["type"] == feature.type
    for name in ("rows", *(f"rows_{state}" for state in STATES)):
        assert row[name] == facts[name]
    assert sum(row[f"rows_{state}"] for state in STATES) == row["rows"]
    assert sum(row[f"weight_{state}"] for state in STATES) == pytest.approx(row["weight"], rel=1e-12)
    for name in ("weight", "effective_rows", *(f"weight_{state}" for state in STATES)):
        assert row[name] == pytest.approx(facts[name], rel=1e-9)
    assert row["coverage"] == pytest.approx((facts["weight_real"] + facts["weight_true_zero"]) / facts["weight"])
    if feature.type in ("int", "bigint", "double"):
        _compare_numbers(row, facts, whole=whole)
    elif feature.type in ("string", "boolean"):
        top = sorted(facts["texts"].items(), key=lambda pair: (-round(pair[1], 6), pair[0]))[:50]
        assert list(zip(row["top_values"] or [], row["top_weights"] or [], strict=True)) == [
            (t, pytest.approx(w)) for t, w in top
        ]
        share = max(facts["texts"].values()) / facts["texts"].total() if top else None
        assert row["top_share"] == (None if share is None else pytest.approx(share))
        assert row["mean"] is None and row["q50"] is None
    else:
        assert row["distinct"] is None and row["bins"] is None and row["top_values"] is None


def _compare_numbers(row: dict[str, Any], facts: dict[str, Any], *, whole: bool) -> None:
    assert row["rows_infinite"] == facts["rows_infinite"]
    for name in ("mean", "std", "min", "max"):
        wanted = facts[name]
        assert row[name] == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)), name
    width = 2.0 ** -(6 if whole else 4)
    for name in ("q01", "q05", "q25", "q50", "q75", "q95", "q99"):
        if not facts["numbers"]:
            assert row[name] is None
            continue
        exact = weighted_quantile(facts["numbers"], int(name[1:]) / 100)
        assert row[name] == pytest.approx(exact, rel=width / 2, abs=1e-300)
        if row["type"] != "double" and abs(exact) < 32:
            assert row[name] == exact
    registers = 4096 if whole else 256
    full = facts["distinct"] / registers  # the error of linear counting (Whang, Vander-Zanden, Taylor 1990)
    error = 5 * math.sqrt(registers * (math.exp(min(full, 3)) - min(full, 3) - 1)) if full < 2.5 else 0
    if facts["numbers"]:
        assert row["distinct"] == pytest.approx(
            facts["distinct"], rel=4 * 1.04 / math.sqrt(registers) if full >= 1 else 0, abs=error + 1.0
        )
        assert math.fsum(row["bin_weights"]) == pytest.approx(facts["weight_real"] + facts["weight_true_zero"])
        assert row["bins"] == sorted(set(row["bins"]))
    else:
        assert row["bins"] is None
