"""Planted dirt: late arrivals, duplicates and malformed rows, each tagged, so that it can be counted where it lands.

Malformed rows are extra rows beside good ones, never instead of them: the truth stays right, and a world without dirt
has the same truth as the one with it.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation.clock import DAY_US, SECOND_US
from simulation.spec import WorldSpec
from simulation.tables import DUPLICATES, MALFORMED, PROFILES, TAGS

__all__ = ["ARRIVAL_DELAY_S", "LATE_FROM_S", "draw_arrivals", "soil"]

ARRIVAL_DELAY_S = 60  # seconds: a row in time arrives within this
LATE_FROM_S = 300  # seconds: a late one takes longer than this
_TAIL = 0.5  # exponent of the Pareto lateness: by default about one late row in 30 takes more than a day
_REARRIVAL_US = (60 * SECOND_US, 60 * 3600 * SECOND_US)  # 60 h cross at most three midnights, the default horizon (S9)
_EXTRA_ID = 500_000_000  # malformed impressions take ids from the upper half of the day's range
_ANCIENT_US = 915_148_800 * SECOND_US  # 1999-01-01 UTC: before what S7 allows


def draw_arrivals(spec: WorldSpec, event_us: np.ndarray, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Arrival of each event in UTC microseconds, and its tag (good or late)."""
    n = len(event_us)
    usual = np.minimum(0.5 + rng.exponential(4.0, n), ARRIVAL_DELAY_S)
    late = rng.random(n) < spec.late_share
    longest = spec.late_days * DAY_US / SECOND_US
    floor = (LATE_FROM_S / longest) ** _TAIL  # share of the tail beyond the longest: cut off, not piled up
    lateness = LATE_FROM_S * (floor + (1 - floor) * (1 - rng.random(n))) ** (-1 / _TAIL)
    delay_s = np.where(late, np.minimum(lateness, longest), usual)
    return event_us + (delay_s * SECOND_US).astype(np.int64), late.astype(np.int8)


def soil(spec: WorldSpec, rows: pa.Table, *, table: str, rng: np.random.Generator) -> pa.Table:
    """Rows of one landing table (with `_tag`), followed by the duplicates and malformed rows planted among them."""
    again = np.flatnonzero(rng.random(rows.num_rows) < spec.duplicate_share)
    kinds = rng.choice(len(DUPLICATES), len(again), p=[0.4, 0.4, 0.2])
    broken = np.flatnonzero(rng.random(rows.num_rows) < spec.malformed_share)
    reasons = rng.integers(0, len(MALFORMED[table]), len(broken))
    parts = [rows]
    if len(again):
        parts.append(_duplicates(rows.take(pa.array(again)), table=table, kinds=kinds, rng=rng))
    if len(broken):
        parts.append(_malformed(rows.take(pa.array(broken)), table=table, reasons=reasons, rng=rng))
    return pa.concat_tables(parts)


def _put(rows: pa.Table, name: str, *, mask: np.ndarray, values: object) -> pa.Table:
    """Column `name` replaced where `mask` holds; `values` is a scalar, None for null, or an array."""
    at, kind = rows.schema.get_field_index(name), rows.schema.field(name).type
    new = pa.array(values).cast(kind) if isinstance(values, np.ndarray) else pa.scalar(values, type=kind)
    return rows.set_column(at, rows.schema.field(name), pc.if_else(pa.array(mask), new, rows[name]))


def _micros(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].cast(pa.int64()).to_numpy()


def _tag(rows: pa.Table, names: tuple[str, ...], *, chosen: np.ndarray) -> pa.Table:
    codes = np.array([TAGS.index(name) for name in names], dtype=np.int8)[chosen]
    return _put(rows, "_tag", mask=np.ones(len(codes), dtype=bool), values=codes)


def _duplicates(rows: pa.Table, *, table: str, kinds: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Exact repeats; the same row arriving later; a later row that says otherwise. Profiles repeat exactly only."""
    if table in PROFILES:
        return _tag(rows, DUPLICATES, chosen=np.zeros_like(kinds))
    later = _micros(rows, "arrival_ts") + rng.integers(*_REARRIVAL_US, len(kinds))
    rows = _put(rows, "arrival_ts", mask=kinds > 0, values=later)
    conflicting = kinds == DUPLICATES.index("conflicting")
    if table == "impressions":
        position = rows["position"].to_numpy().astype(np.int64) + 1
        rows = _put(rows, "position", mask=conflicting, values=position)
    else:
        rows = _put(rows, "item_id", mask=conflicting, values=rows["item_id"].to_numpy() + 1)
    return _tag(rows, DUPLICATES, chosen=kinds)


def _malformed(rows: pa.Table, *, table: str, reasons: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Rows that ingest must refuse, one reason each (S7, S10)."""
    names = MALFORMED[table]
    picked = {name: reasons == code for code, name in enumerate(names)}
    change = _break_profiles if table in PROFILES else _break_events
    return _tag(change(rows, table, picked=picked, rng=rng), names, chosen=reasons)


def _break_profiles(rows: pa.Table, table: str, *, picked: dict[str, np.ndarray], rng: np.random.Generator) -> pa.Table:
    before = _micros(rows, "valid_from") - rng.integers(0, DAY_US, rows.num_rows)
    rows = _put(rows, "valid_to", mask=picked["valid_to_before_valid_from"], values=before)
    rows = _put(rows, "valid_from", mask=picked["null_valid_from"], values=None)
    return _put(rows, f"{table.removesuffix('_profile')}_id", mask=picked["null_key"], values=None)


def _break_events(rows: pa.Table, table: str, *, picked: dict[str, np.ndarray], rng: np.random.Generator) -> pa.Table:
    ahead = _micros(rows, "arrival_ts") + rng.integers(2 * DAY_US, 30 * DAY_US, rows.num_rows)
    rows = _put(rows, "event_ts", mask=picked["future_event_ts"], values=ahead)
    rows = _put(
        rows, "event_ts", mask=picked["ancient_event_ts"], values=_ANCIENT_US + rng.integers(0, DAY_US, rows.num_rows)
    )
    rows = _put(rows, "event_ts", mask=picked["null_event_ts"], values=None)
    rows = _put(rows, "user_id", mask=picked["null_user_id"], values=None)
    if table == "impressions":
        rows = _put(rows, "item_id", mask=picked["null_item_id"], values=None)
        fresh = rows["impression_id"].to_numpy() + _EXTRA_ID
        return _put(rows, "impression_id", mask=np.ones(rows.num_rows, dtype=bool), values=fresh)
    rows = _put(rows, "action", mask=picked["unknown_action"], values="teleport")
    rows = _put(rows, "action", mask=picked["negative_watch"] | picked["nan_watch"], values="watch")
    rows = _put(rows, "value", mask=picked["negative_watch"], values=-rng.uniform(1, 60, rows.num_rows))
    return _put(rows, "value", mask=picked["nan_watch"], values=np.nan)
