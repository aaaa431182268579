"""What a day's coverage says beside the days before it: drift, change of coverage, first day seen (S41). No Spark."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from reports.drift import aligned_bins, difference_interval, psi_js
from reports.parts import UNITS, merge
from reports.rows import KEPT_TEXTS, codes_of, group_of
from schemas.coverage import HISTORY_COLUMNS

__all__ = ["Seen", "history_columns"]

Key = tuple[str, str | None]
_SCHEMA = pa.schema(
    [(name, pa.float64()) for name in HISTORY_COLUMNS[:5]] + [("reference", pa.string()), ("first_ds", pa.date32())]
)


@dataclass(frozen=True)
class Seen:
    """Days of one feature: PARTS of one row per slice value, and the first day seen of each."""

    parts: Mapping[date, pa.Table]
    first: dict[Key, date]


def history_columns(seen: Seen, ds: date, *, reference_days: int) -> pa.Table:
    """HISTORY_COLUMNS for the rows of `ds`, in their order; `seen` holds the days before it, as far as there are.

    Updates `seen.first` with what `ds` shows for the first time.
    """
    today = seen.parts[ds]
    days = sorted(day for day in seen.parts if ds - timedelta(days=reference_days) <= day < ds)
    before = _by_key(_merged([seen.parts[day] for day in days])) if days else {}
    text = f"{days[0]}..{days[-1]} ({len(days)} day{'s' * (len(days) > 1)})" if days else None
    rows = []
    for key, row in _by_key(today).items():
        reference = before.get(key)
        if key not in seen.first and row["units_real"] + row["units_true_zero"] > 0:
            seen.first[key] = ds
        found = dict.fromkeys(HISTORY_COLUMNS) if reference is None else {**_drift(row, reference), "reference": text}
        rows.append({**found, "first_ds": seen.first.get(key)})
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _merged(days: list[pa.Table]) -> pa.Table:
    together = pa.concat_tables(days)
    group = group_of([codes_of(together.column(name).combine_chunks()) for name in ("slice", "value")])
    return merge(together, group, most_texts=KEPT_TEXTS)


def _by_key(parts: pa.Table) -> dict[Key, dict]:
    names = [name for name in parts.column_names if name != "registers"]
    return dict(_rows(parts.select(names)))


def _rows(parts: pa.Table) -> Iterator[tuple[Key, dict]]:
    for batch in parts.to_batches():
        lists = {n: batch.column(n) for n in ("bins", "bin_units", "texts", "text_units")}
        plain = batch.select([n for n in batch.schema.names if n not in lists]).to_pylist()
        for place, row in enumerate(plain):
            row |= {n: column[place].values for n, column in lists.items()}
            yield (row["slice"], row["value"]), row


def _drift(row: dict, reference: dict) -> dict[str, float | None]:
    psi, js = psi_js(*(_bins(row, reference) if row["bins"] is not None else _texts(row, reference)))
    found: dict[str, float | None] = {"psi": psi, "js": js}
    (now, n1), (before, n0) = _share(row), _share(reference)
    names = ("coverage_change", "coverage_change_low", "coverage_change_high")
    if now is None or before is None:
        return found | dict.fromkeys(names)
    return found | dict(zip(names, difference_interval(now, n1, before, n0), strict=True))


def _bins(row: dict, reference: dict) -> tuple[np.ndarray, np.ndarray]:
    if reference["bins"] is None:
        return np.zeros(1), np.zeros(1)
    here, before = ((_array(r["bins"]), _array(r["bin_units"]).astype(np.float64)) for r in (row, reference))
    return aligned_bins(*here, *before)


def _texts(row: dict, reference: dict) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the texts that both know the weight of, and of all others together.

    A text that one side lacks has no weight there, unless that side kept only its commonest: then it is among the others.
    """
    if row["texts"] is None or reference["texts"] is None:
        return np.zeros(1), np.zeros(1)
    here, before = (_weights(one) for one in (row, reference))
    names = [name for name in here if name in before or len(before) < KEPT_TEXTS]
    names += [name for name in before if name not in here and len(here) < KEPT_TEXTS]
    shares = []
    for one, known in ((row, here), (reference, before)):
        own = [float(known.get(name, 0)) for name in names]
        shares.append(np.array([*own, one["units_real"] + one["units_true_zero"] - sum(own)]))
    return shares[0], shares[1]


def _weights(row: dict) -> dict[str, int]:
    return dict(zip(row["texts"].to_pylist(), row["text_units"].to_pylist(), strict=True))


def _array(values: pa.Array) -> np.ndarray:
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _share(row: dict) -> tuple[float | None, float]:
    """Coverage, and the rows of equal weight that would tell as much."""
    total = sum(value for name, value in row.items() if name.startswith("units_") and name != "units_infinite")
    if not total > 0 or not row["squares"] > 0:
        return None, 0.0
    return (row["units_real"] + row["units_true_zero"]) / total, (total / UNITS) ** 2 / row["squares"]
