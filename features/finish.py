"""The last step of a row: column names, states found before defaults fill them, and the column order of the table. Arrow only."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.plan import GroupPlan
from features.states import cell_states, fill_default
from headrace.config import Feature
from headrace.config.columns import source_columns
from headrace.durations import micros
from headrace.exchange import one_array

__all__ = ["Finish", "finisher"]

_OUTPUT_ROWS = 1 << 17
Finish = Callable[[pa.Table], Iterator[pa.RecordBatch]]


def finisher(
    plans: list[GroupPlan],
    *,
    columns: list[Feature],
    profiles: dict[str, timedelta],
    schema: pa.Schema,
    stored: Sequence[str],
) -> Finish:
    """Last step in a task: names, states, defaults, and the column order of the table.

    Cells of `stored` features come with the rows, filled, and their states in feature_states, in that order.
    """
    places = {name: place for place, name in enumerate(stored)}
    by_source = {plan.name: source_columns(columns, f"group:{plan.name}") for plan in plans}
    wanted = set(schema.names)

    def finish(rows: pa.Table) -> Iterator[pa.RecordBatch]:
        ready = {name: rows.column(name) for name in rows.column_names if name in wanted}
        for plan in plans:
            names = [f.name for f in by_source[plan.name]]
            ready |= {n: rows.column(f"_{plan.name}_{i}") for i, n in enumerate(names)}
        states = np.empty((rows.num_rows, len(columns)), dtype=np.uint8)
        checks = _entity_checks(rows, plans, {} if stored else profiles)
        before = _states_of(rows, len(stored)) if stored else states
        for position, feature in enumerate(columns):
            if feature.name in places:
                states[:, position] = before[:, places[feature.name]]
                continue
            column = one_array(ready[feature.name]).cast(schema.field(feature.name).type)
            known, stale = checks.get(feature.source, (None, None))
            states[:, position] = cell_states(column, feature, known=known, stale=stale)
            ready[feature.name] = fill_default(column, feature)
        mask = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(max(len(columns), 1)), rows.num_rows, [None, pa.py_buffer(states.tobytes())]
        )
        if "feature_states" in wanted:
            ready["feature_states"] = mask.cast(pa.binary())
        table = pa.Table.from_arrays([one_array(ready[f.name]).cast(f.type) for f in schema], schema=schema)
        yield from table.to_batches(max_chunksize=_OUTPUT_ROWS)

    return finish


def _states_of(rows: pa.Table, number: int) -> NDArray[np.uint8]:
    flat = pc.binary_join(pa.array([one_array(rows.column("feature_states")).to_pylist()], pa.list_(pa.binary())), b"")
    return np.frombuffer(flat[0].as_buffer(), dtype=np.uint8).reshape(rows.num_rows, number)


def _entity_checks(
    rows: pa.Table, plans: list[GroupPlan], profiles: dict[str, timedelta]
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Feature source -> (known, stale) of each row (S31, S32)."""
    request = np.asarray(rows.column("request_ts").cast(pa.int64()).to_numpy())
    checks = {}
    for plan in plans:
        age = request - np.asarray(rows.column(plan.as_of).to_numpy())
        known = np.asarray(rows.column(f"_known_{plan.name}").to_numpy())
        checks[f"group:{plan.name}"] = (known, age > plan.tolerance_us)
    for entity, tolerance in profiles.items():
        landed = rows.column(f"{entity}_landed_us")
        known = np.asarray(landed.is_valid().to_numpy())
        age = request - np.asarray(landed.fill_null(0).to_numpy())
        checks[f"profile:{entity}"] = (known, known & (age > micros(tolerance)))
    return checks
