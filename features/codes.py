"""Keys and segments of tiles, states and rows as small shared numbers, and tables for what is not there."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.axis import Ints, run_starts, sort_order
from features.plan import GroupPlan

__all__ = ["codes_of", "distinct_pairs", "no_state", "no_tiles", "with_segment"]


def codes_of(*columns: pa.ChunkedArray) -> tuple[list[Ints], int]:
    """Codes 0, 1, ... shared by all columns, -1 for null; and how many there are (at least 1)."""
    kind = columns[0].type
    together = pa.chunked_array([c for column in columns for c in column.cast(kind).chunks], type=kind)
    encoded = together.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    bounds = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(indices, bounds), max(len(encoded.dictionary), 1)


def distinct_pairs(codes: Ints, as_of: Ints) -> tuple[Ints, Ints, Ints]:
    """Rows that ask for the same key at the same moment are answered once: distinct pairs, sorted, and the way back."""
    low = int(as_of.min()) if len(as_of) else 0
    span = int(as_of.max()) - low + 1 if len(as_of) else 1
    if (span * (int(codes.max()) + 1 if len(codes) else 1)).bit_length() > 62:
        return codes, as_of, np.arange(len(codes))
    packed = codes * span + (as_of - low)
    order = sort_order(packed)
    arranged = packed[order]
    starts = run_starts(arranged)
    back = np.empty(len(codes), dtype=np.int64)
    back[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(codes))))
    kept = arranged[starts]
    return kept // span, kept % span + low, back


def no_tiles(plan: GroupPlan, rows: pa.Table) -> pa.Table:
    """An empty tile table, for a partition that no event reached."""
    kinds = {"bigint": pa.int64(), "timestamp": pa.int64(), "string": pa.string(), "int": pa.int32()}
    fields = [(name, pa.int64()) for name in ("key", "event_hour", "visible_hour", "known_ts")]
    for name, kind, _ in (c for measure in plan.measures for c in measure.columns):
        inside = kinds[kind.removeprefix("array<").removesuffix(">")]
        fields.append((name, pa.list_(inside) if kind.startswith("array") else inside))
    if plan.segment is not None:
        fields.append(("segment", rows.schema.field(plan.segment).type))
    return pa.schema(fields).empty_table()


def no_state(plan: GroupPlan, rows: pa.Table) -> pa.Table:
    """An empty state."""
    names = {"key", "known_ts", *plan.state.sums.values(), *(["segment"] if plan.segment else [])}
    lasting = {name for measure in plan.state.lasting for name, _, _ in measure.columns}
    tiles = no_tiles(plan, rows).schema
    kinds = {name: tiles.field(name).type if name in tiles.names else pa.int64() for name in sorted(names | lasting)}
    return pa.schema(kinds).empty_table()


def with_segment(table: pa.Table, keys: Ints, segments: Ints) -> tuple[pa.Table, Ints, Ints]:
    """Rows that belong to a segment (S18)."""
    there = segments >= 0
    return (table, keys, segments) if there.all() else (table.filter(pa.array(there)), keys[there], segments[there])
