"""Arrow columns as JSON text, a column at a time: what exports write where a file holds text only."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["json_lines", "json_texts"]


def json_lines(batch: pa.RecordBatch) -> pa.Array:
    """Every row as one JSON object."""
    parts: list[pa.Array | str] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        parts += [f"{', ' if parts else '{'}{json.dumps(name)}: ", json_texts(column)]
    return pc.binary_join_element_wise(*parts, "}", "")


def json_texts(column: pa.Array) -> pa.Array:
    """Every cell as JSON text; a null, and a number that is not finite, is `null`.

    Numbers have the digits that give them back; days and moments are ISO text, lists and maps JSON of their own.
    """
    kind = column.type
    if pa.types.is_string(kind):
        coded = column.dictionary_encode()
        texts = pa.array([json.dumps(text, ensure_ascii=False) for text in coded.dictionary.to_pylist()], pa.string())
        found = texts.take(coded.indices)
    elif pa.types.is_list(kind):
        found = _lists(column)
    elif pa.types.is_nested(kind):
        rows = column.to_pylist(maps_as_pydicts="lossy")
        found = pa.array([json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows], pa.string())
    elif pa.types.is_temporal(kind):
        found = pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")
    else:
        finite = pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(kind) else column
        found = finite.cast(pa.string())
    return pc.fill_null(found, "null")


def _lists(column: pa.Array) -> pa.Array:
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    inside = pa.ListArray.from_arrays(pa.array(starts), json_texts(pc.list_flatten(column)))
    whole = pc.binary_join_element_wise("[", pc.binary_join(inside, ", "), "]", "")
    return pc.if_else(column.is_valid(), whole, None)
