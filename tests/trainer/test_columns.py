"""Arrow columns as arrays: nulls, broken cells, chunks and slices."""

import math

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import InputError
from trainer.columns import floats, integers, number_matrix, row_states, state_matrix


def test_states_of_another_length_are_refused() -> None:
    for states in ([b"\0\0"], [None], [b"\0", b"\0\0\0\0\0"]):
        with pytest.raises(InputError, match="wanted: 3 bytes"):
            row_states(pa.RecordBatch.from_pydict({"feature_states": pa.array(states, pa.binary())}), ["a", "b", "c"])


def test_states_of_a_slice_are_those_of_its_rows() -> None:
    rows = pa.RecordBatch.from_pydict(
        {"feature_states": pa.array([bytes([i, 0, 9 - i]) for i in range(4)], pa.binary())}
    )
    assert state_matrix(rows.slice(2, 2), ["b", "x", "a"], names=["a", "b"]).tolist() == [[7, 2], [6, 3]]


def test_broken_cells_are_counted_apart_from_nulls() -> None:
    rows = pa.table(
        {"x": pa.chunked_array([[None, math.nan], [-math.inf, 0.0]], pa.float64()), "y": [True, False, None, True]}
    )
    values, broken = number_matrix(rows, ["x", "y"])
    assert broken.tolist() == [3 - 1, 0]
    np.testing.assert_array_equal(values, [[math.nan, 1], [math.nan, 0], [math.nan, math.nan], [0, 1]])


def test_whole_numbers_and_floats_of_chunks_are_read_with_their_nulls() -> None:
    rows = pa.table({"x": pa.chunked_array([[1, None], [], [3]], pa.int16())})
    assert integers(rows, "x").tolist() == [1, 0, 3]
    np.testing.assert_array_equal(floats(rows["x"], name="x"), [1, math.nan, 3])
