"""Encoding: every kind against one that goes row by row, pinned hashes, and encoders as data."""

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headrace.errors import InputError
from trainer.encode import (
    Buckets,
    Category,
    Encoder,
    Hash,
    Number,
    Vocabulary,
    encode,
    encoder_from_dict,
    encoder_to_dict,
    schema_changes,
)
from trainer.published import FeatureSpec

# One column of each type that files may hold, and one field of each kind that may read it.
COLUMNS: dict[str, tuple[pa.DataType, Sequence]] = {
    "user_id": (pa.int64(), [2**63 - 1, -(2**63), 0, 1, -1, 7]),
    "i8": (pa.int8(), [-128, 0, 127, 5]),
    "i16": (pa.int16(), [-32768, 0, 32767, 5]),
    "i32": (pa.int32(), [-(2**31), 0, 2**31 - 1, 5]),
    "i64": (pa.int64(), [-(2**63), 0, 2**63 - 1, 5]),
    "hour": (pa.int32(), [*range(24)]),
    "flag": (pa.bool_(), [True, False]),
    "word": (pa.string(), ["feed", "", "Zürich", "search", "new"]),
    "large": (pa.large_string(), ["feed", "", "Zürich", "new"]),
    "coded": (pa.dictionary(pa.int16(), pa.string()), ["feed", "search", "new"]),
    "coded_int": (pa.dictionary(pa.int8(), pa.int64()), [3, 4, 5]),
    "f32": (pa.float32(), [-1.5, 0.25, math.nan, math.inf]),
    "f64": (pa.float64(), [-1e300, 1e300, -0.0, 1.0, 2.5, math.nan, math.inf, -math.inf]),
    "money": (pa.decimal128(10, 2), [Decimal("1.25"), Decimal("-3.50")]),
    "void": (pa.null(), []),
}
CATEGORIES: tuple[Category, ...] = (
    Hash("user_id", 1000), Hash("i8", 7), Hash("i16", 7), Hash("i32", 7), Hash("i64", 50), Hash("void", 3),
    Vocabulary("hour", (3, 1, 23)), Vocabulary("flag", (1,)), Hash("word", 9), Vocabulary("large", ("Zürich", "")),
    Vocabulary("coded", ("search", "feed")), Vocabulary("coded_int", (4,)), Buckets("f32", 4, (-1.5, 0.0, 0.25)),
)  # fmt: skip
NUMBERS = (
    Number("f64", log=True, mean=3.0, std=0.5), Number("money", log=False, mean=1.0, std=2.0, missing=False),
    Number("age", log=True, clip=None), Number("rare", log=False, standardise=False, clip=2.0),
    Number("wide", log=False, mean=-1e308, std=1e-10),
)  # fmt: skip
COLUMNS |= {
    "age": (pa.int64(), [-3, 0, 2**53 + 1, 10]),
    "rare": (pa.bool_(), [True, False]),
    "wide": (pa.float64(), [1e308, -1e308]),
}
ENCODER = Encoder(CATEGORIES, NUMBERS, ())
ORDER = [name for name in reversed(COLUMNS) if name != "user_id"]  # not that of the encoder: each day says its own


def _rows(count: int, *, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    made = {}
    for name, (kind, values) in COLUMNS.items():
        cells = [
            None if not values or rng.random() < 0.15 else values[int(rng.integers(len(values)))] for _ in range(count)
        ]
        made[name] = pa.array(cells, pa.int64()).dictionary_encode() if name == "coded_int" else pa.array(cells, kind)
    states = rng.choice(6, size=(count, len(ORDER)), p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]).astype(np.uint8)
    return pa.table(made | {"feature_states": pa.array([row.tobytes() for row in states], pa.binary())})


def _hashed(value: object) -> int:
    """SplitMix64, or the hash of words, in plain integers."""
    if isinstance(value, str):
        return int(pd.util.hash_array(np.array([value], dtype=object))[0])
    x = (int(value) + 0x9E3779B97F4A7C15) % 2**64  # type: ignore[call-overload]
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def _no_number(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _row_of(category: Category, value: object, state: int) -> int:
    if _no_number(value) or state in (2, 5):
        return 0
    match category:
        case Hash():
            return _hashed(value) % (category.buckets - 1) + 1
        case Vocabulary():
            return category.values.index(value) + 2 if value in category.values else 1  # type: ignore[arg-type]
        case Buckets():
            return 1 + sum(edge <= value for edge in category.edges)  # type: ignore[operator]


def _input_of(number: Number, value: object) -> float:
    if _no_number(value):
        return 0.0
    x = float(value)  # type: ignore[arg-type]
    x = math.copysign(math.log1p(abs(x)), x) if number.log else x
    x = (x - number.mean) / number.std
    return x if number.clip is None else min(max(x, -number.clip), number.clip)


def _naive(encoder: Encoder, rows: pa.Table, order: Sequence[str]) -> tuple[list[list[int]], list[list[float]]]:
    ids, dense = [], []
    for row in rows.to_pylist():
        states = dict(zip(order, row["feature_states"], strict=True))
        found, offset = [], 0
        for category in encoder.categories:
            found.append(offset + _row_of(category, row[category.name], states.get(category.name, 0)))
            offset += category.rows
        ids.append(found)
        bits = [float(_no_number(row[n.name]) or states[n.name] >= 2) for n in encoder.numbers if n.missing]
        dense.append([_input_of(number, row[number.name]) for number in encoder.numbers] + bits)
    return ids, dense


CUTS: dict[str, Callable[[pa.Table], pa.Table | pa.RecordBatch]] = {
    "table": lambda rows: rows,
    "batch": lambda rows: rows.combine_chunks().to_batches()[0],
    "slice of a batch": lambda rows: rows.combine_chunks().to_batches()[0].slice(11, 60),
    "slice of a table": lambda rows: rows.slice(5, 77),
    "chunks": lambda rows: pa.concat_tables([rows.slice(0, 3), rows.slice(3, 0), rows.slice(3, 90), rows.slice(93)]),
    "one row": lambda rows: rows.slice(17, 1),
    "no rows of a table": lambda rows: rows.slice(0, 0),
    "no rows of a batch": lambda rows: rows.combine_chunks().to_batches()[0].slice(0, 0),
}


@pytest.mark.parametrize("cut", CUTS)
def test_every_kind_encodes_as_one_that_goes_row_by_row(cut: str) -> None:
    rows = CUTS[cut](_rows(200))
    ids, dense = encode(ENCODER, rows, state_order=ORDER)
    assert (ids.dtype, ids.shape) == (np.int64, (rows.num_rows, len(CATEGORIES)))
    assert (dense.dtype, dense.shape) == (np.float32, (rows.num_rows, len(ENCODER.dense)))
    whole = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    wanted_ids, wanted = _naive(ENCODER, whole, ORDER)
    assert ids.tolist() == wanted_ids
    np.testing.assert_allclose(dense, np.array(wanted, dtype=np.float32).reshape(dense.shape), rtol=1e-6, atol=1e-7)


def test_rows_beyond_a_block_are_encoded_as_those_within_it() -> None:
    rows = _rows(9000)
    ids, dense = encode(ENCODER, rows, state_order=ORDER)
    parts = [encode(ENCODER, rows.slice(at, 1500), state_order=ORDER) for at in range(0, 9000, 1500)]
    assert np.array_equal(ids, np.concatenate([part for part, _ in parts]))
    assert np.array_equal(dense, np.concatenate([part for _, part in parts]))


def test_encoder_that_went_through_json_is_equal_and_encodes_alike() -> None:
    odd = Encoder(
        CATEGORIES, (Number("f64", log=True, mean=0.1 + 0.2, std=1e-17, side="user"),), (("f64", "double", "s"),)
    )
    again = encoder_from_dict(json.loads(json.dumps(encoder_to_dict(odd), allow_nan=False)))
    assert again == odd
    for one, other in zip(*(encode(e, _rows(50), state_order=ORDER) for e in (odd, again)), strict=True):
        assert np.array_equal(one, other)


def test_unknown_kinds_and_keys_of_a_saved_encoder_are_refused() -> None:
    saved = encoder_to_dict(ENCODER)
    with pytest.raises(ValueError, match="'embedding' of user_id, known are hash, vocabulary, buckets"):
        encoder_from_dict(saved | {"categories": [{"kind": "embedding", "name": "user_id"}]})
    with pytest.raises(TypeError, match="colour"):
        encoder_from_dict(saved | {"numbers": [{"name": "f64", "log": True, "colour": 3}]})


def test_hashes_of_ids_and_words_are_pinned() -> None:
    # A saved model must find its rows again: another hash would be another model.
    ids = pa.table({"user_id": [0, 1, -1, 2**62], "feature_states": pa.array([b""] * 4, pa.binary())})
    found, _ = encode(Encoder((Hash("user_id", 200_000),), (), ()), ids, state_order=[])
    assert found[:, 0].tolist() == [48076, 186, 39247, 142458]
    words = pa.table({"city": ["feed", "", "Zürich"], "feature_states": pa.array([b"\0"] * 3, pa.binary())})
    found, _ = encode(Encoder((Hash("city", 4096),), (), ()), words, state_order=["city"])
    assert found[:, 0].tolist() == [3301, 980, 3843]


def test_neighbouring_ids_spread_evenly_over_buckets() -> None:
    rows = pa.table({"user_id": np.arange(100_000), "feature_states": pa.array([b""] * 100_000, pa.binary())})
    found, _ = encode(Encoder((Hash("user_id", 101),), (), ()), rows, state_order=[])
    counts = np.bincount(found[:, 0], minlength=101)
    assert counts[0] == 0 and np.abs(counts[1:] - 1000).max() < 6 * np.sqrt(1000)


def _one(kind: Category | Number, cells: pa.Array, *, states: Sequence[int]) -> list[list]:
    """Ids and dense inputs of the one column `x`."""
    numbers = (kind,) if isinstance(kind, Number) else ()
    categories = () if isinstance(kind, Number) else (kind,)
    rows = pa.table({"x": cells, "feature_states": pa.array([bytes([s]) for s in states], pa.binary())})
    made = encode(Encoder(categories, numbers, ()), rows, state_order=["x"])  # type: ignore[arg-type]
    return made[bool(numbers)].tolist()


@pytest.mark.parametrize(("state", "missing"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1)])
def test_missing_bit_follows_the_state_and_the_value_stays_in_place(state: int, missing: int) -> None:
    assert _one(Number("x", log=False), pa.array([3.0]), states=[state]) == [[3.0, missing]]


@pytest.mark.parametrize("kind", [Hash("x", 2), Vocabulary("x", (5,)), Buckets("x", 2, ())])
def test_filled_in_values_are_not_looked_up_and_stale_ones_are(kind: Category) -> None:
    rows = _one(kind, pa.array([5] * 6), states=[0, 1, 2, 3, 4, 5])
    assert [row > 0 for (row,) in rows] == [True, True, False, True, True, False]


def test_number_that_is_not_cut_ends_where_float32_does() -> None:
    largest = float(np.finfo(np.float32).max)
    found = _one(Number("x", log=False, clip=None), pa.array([1e300, -1e300, 12.0]), states=[0, 0, 0])
    assert found == [[largest, 0.0], [-largest, 0.0], [12.0, 0.0]]


def test_dictionary_with_a_null_among_its_words_and_unused_ones_encodes_as_the_words() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 2, None, 1]), pa.array(["feed", None, "search", "unused"]))
    assert _one(Vocabulary("x", ("search", "feed")), coded, states=[0] * 4) == [[3], [2], [0], [0]]


def test_columns_of_another_type_than_the_fields_are_refused() -> None:
    refused: list[tuple[Category | Number, pa.Array, str]] = [
        (Hash("x", 9), pa.array([1.5]), "double"),
        (Hash("x", 9), pa.array([b"x"]), "binary"),
        (Number("x", log=False), pa.array(["1.5"]), "string"),
        (Buckets("x", 2), pa.array(["1.5"]), "words"),
        (Vocabulary("x", (5,)), pa.array(["5"]), "words"),
        (Vocabulary("x", ("5",)), pa.array([5]), "whole numbers"),
        (Number("x", log=False), pa.array([[1.5]]), "list"),
    ]
    for kind, cells, found in refused:
        with pytest.raises(InputError, match=rf"x\n  found:  a column of {found}"):
            _one(kind, cells, states=[0])


def test_vocabulary_without_values_knows_nothing() -> None:
    assert _one(Vocabulary("x"), pa.array([5, None]), states=[0, 0]) == [[1], [0]]
    assert _one(Vocabulary("x"), pa.array(["5", None]), states=[0, 0]) == [[1], [0]]


def test_names_sides_and_columns_follow_the_order_of_the_arrays() -> None:
    made = Encoder(
        (Hash("item_id", 10, side="item"), Vocabulary("city", ("a",))),
        (Number("n", log=False, missing=False, side="item"), Number("m", log=True, side="user")),
        (),
    )
    assert (made.fields, made.dense) == (["item_id", "city"], ["n", "m", "m?missing"])
    assert made.columns == ["item_id", "city", "n", "m", "feature_states"]
    assert made.sides == {"item_id": "item", "city": "cross", "n": "item", "m": "user", "m?missing": "user"}
    assert (made.rows, made.offsets.tolist()) == (13, [0, 10])


def test_changes_of_type_unit_and_columns_are_told_and_new_features_are_no_harm() -> None:
    encoder = Encoder((Hash("scene", 5),), (Number("age", log=False), Number("seen", log=True)),
                      (("scene", "string", ""), ("age", "double", "s"), ("seen", "bigint", "events")))  # fmt: skip
    today = [FeatureSpec("age", "double", "h", "context"), FeatureSpec("seen", "bigint", "events", "context"),
             FeatureSpec("new", "int", "", "context")]  # fmt: skip
    assert schema_changes(encoder, today, present={"age", "scene", "feature_states"}) == [
        "scene is gone", "age is double [h], was double [s]", "seen is no column",
    ]  # fmt: skip
    whole = [*today[1:], FeatureSpec("scene", "string", "", ""), FeatureSpec("age", "double", "s", "")]
    assert schema_changes(encoder, whole, present={"age", "scene", "seen", "feature_states"}) == []
