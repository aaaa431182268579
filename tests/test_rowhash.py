"""Content hashes from bytes against Spark's own: every type of every table, nulls, odd numbers, texts of every length."""

import subprocess
import sys
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import functions as F

from headrace.errors import InputError
from headrace.hashes import content_hashes
from headrace.receipts import latest_receipts
from headrace.rowhash import content_hash_of, hash_batches, hash_column, rows_of
from schemas.columns import _TYPES
from schemas.coverage import UNHASHED

MONDAY, TUESDAY = date(2024, 4, 1), date(1969, 12, 30)
STAMP = pa.timestamp("us", "UTC")
PRIME = 2654435761
VECTORS = {  # length of the buffer's beginning -> XXH64 with seed 0 and with seed PRIME: xxhsum.c and airlift's TestXxHash64
    0: (0xEF46DB3751D8E999, 0xAC75FDA2929B17EF),
    1: (0x4FCE394CC88952D8, 0x739840CB819FA723),
    4: (0x9256E58AA397AEF1, 0x9D5FFDFB928AB4B),
    8: (0xF74CB1451B32B8CF, 0x9C44B77FBCC302C5),
    14: (0xCFFA8DB881BC3A3D, 0x5B9611585EFCC9CB),
    32: (0xAF5753D39159EDEE, 0xDCAB9233B8CA7B0F),
    101: (0x0EAB543384F878AD, 0xCAA65939306F1E21),
}
KINDS = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": STAMP,
    "array<bigint>": pa.list_(pa.int64()),
    "array<int>": pa.list_(pa.int32()),
    "array<string>": pa.list_(pa.string()),
    "array<timestamp>": pa.list_(STAMP),
    "array<double>": pa.list_(pa.float64()),
    "array<array<string>>": pa.list_(pa.list_(pa.string())),
    "struct<a:double,b:array<string>>": pa.struct({"a": pa.float64(), "b": pa.list_(pa.string())}),
}


def sanity_buffer() -> bytes:
    made, number = [], PRIME
    for _ in range(101):
        made.append(number >> 24 & 0xFF)
        number = number * number & 0xFFFFFFFFFFFFFFFF
    return bytes(made)


def some_values(rng: np.random.Generator, kind: pa.DataType, rows: int) -> pa.Array:
    """Random values and edges, a fifth of them null."""
    hollow = rng.random(rows) < 0.2
    types = pa.types
    if types.is_list(kind):
        lengths = rng.integers(0, 6, rows) * (rng.random(rows) < 0.8)
        inside = some_values(rng, kind.value_type, int(lengths.sum()))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32(), mask=np.append(hollow, False))
        return pa.ListArray.from_arrays(offsets, inside, type=kind)
    if types.is_struct(kind):
        parts = [some_values(rng, field.type, rows) for field in kind]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array(hollow))
    if types.is_string(kind) or types.is_binary(kind):
        return pa.array(some_texts(rng, rows, text=types.is_string(kind)), kind, mask=hollow)
    if types.is_float64(kind):
        odd_nan = np.uint64(0xFFF8000000000123).view(np.float64)
        edges = np.array([0.0, -0.0, np.nan, odd_nan, np.inf, -np.inf, 5e-324, 0.1])
        return pa.array(
            np.where(rng.random(rows) < 0.5, rng.choice(edges, rows), rng.normal(0, 1e9, rows)), mask=hollow
        )
    if types.is_boolean(kind):
        return pa.array(rng.random(rows) < 0.5, mask=hollow)
    bits = 22 if types.is_date32(kind) else 55 if types.is_timestamp(kind) else kind.bit_width
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    edges = np.array([low, high, 0, -1, 1])
    numbers = np.where(rng.random(rows) < 0.5, rng.choice(edges, rows), rng.integers(low, high, rows, endpoint=True))
    return pa.array(numbers, pa.int64(), mask=hollow).cast(pa.int32() if types.is_date32(kind) else kind).cast(kind)


def some_texts(rng: np.random.Generator, rows: int, *, text: bool) -> list:
    """Every length from 0 to 100 bytes, over and over, and a few long ones."""
    lengths = [n % 101 if n % 97 else int(rng.integers(100, 3_000)) for n in range(rows)]
    if not text:
        return [rng.bytes(length) for length in lengths]
    letters = np.array(list("ab0 äß\u4f60\U0001f600"))
    return ["".join(rng.choice(letters, length)) if n % 2 else "x" * length for n, length in enumerate(lengths)]


def some_table(seed: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    made = {f"c{n}": some_values(rng, kind, rows) for n, kind in enumerate(KINDS.values())}
    days = pa.array(rng.choice(np.array([MONDAY, TUESDAY]), rows), pa.date32())
    return pa.table({**made, "ds": days, "place": np.arange(rows)})


@pytest.fixture(scope="module")
def same_rows(spark, tmp_path_factory) -> tuple:
    """A table of every type, for us and for Spark."""
    made = some_table(7, 2_500)
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(made, path)
    return made, spark.read.parquet(str(path))


def test_every_type_of_every_table_is_among_those_tried():
    assert set(KINDS) >= set(_TYPES) - {"map"}


@pytest.mark.parametrize("seed", [0, 1])
def test_published_vectors_hold_at_any_place_of_a_slice(seed):
    texts = [sanity_buffer()[:length] for length in VECTORS]
    for kind in (pa.binary(), pa.large_binary()):
        column = pa.array([b"before", *texts, b"behind"], kind).slice(1, len(texts))
        hashes = hash_column(column, np.full(len(texts), PRIME * seed, np.uint64))
        assert hashes.tolist() == [pair[seed] for pair in VECTORS.values()]


def test_columns_of_every_type_hash_as_spark_hashes_them(same_rows):
    made, frame = same_rows
    wanted = frame.orderBy("place").select(*[F.xxhash64(name).alias(name) for name in made.column_names]).collect()
    for name, kind in zip(made.column_names, [*KINDS, "date", "bigint"], strict=True):
        column = made[name].combine_chunks()
        hashes = hash_column(column, np.full(len(column), 42, np.uint64)).view(np.int64)
        assert hashes.tolist() == [row[name] for row in wanted], kind


def test_days_hash_as_spark_hashes_them_however_rows_are_cut(same_rows):
    made, frame = same_rows
    for day, wanted in content_hashes(frame, days=[MONDAY, TUESDAY]).items():
        rows = made.filter(pc.equal(made["ds"], pa.scalar(day, pa.date32())))
        assert rows_of(wanted) == rows.num_rows > 1_000
        for length in (1 << 20, 311):
            assert hash_batches(rows.to_batches(length), rows.schema) == wanted
        backwards = rows.take(np.arange(rows.num_rows)[::-1])
        assert hash_batches(backwards.to_batches(), rows.schema) == wanted


def test_every_output_of_every_receipt_has_the_hash_that_its_bytes_give(world):
    config, _ = world
    checked = set()
    for (job, day), receipt in latest_receipts(config).items():
        for name, wanted in receipt.outputs.items():
            unhashed = UNHASHED if name == "coverage" else ()
            assert content_hash_of(f"{config.root}/{name}", day=day, unhashed=unhashed) == wanted, (job, day, name)
            checked |= {name} if rows_of(wanted) else set()
    assert checked >= {"impressions", "engagements", "labels", "spine", "training_set", "coverage", "user_profile"}
    assert any(name.startswith("tiles_") for name in checked)


def test_types_are_the_tables_and_a_column_that_a_file_lacks_is_null(spark, tmp_path):
    uri = str(tmp_path / "grown")
    days = pa.array([MONDAY, MONDAY], pa.date32())
    write_deltalake(uri, pa.table({"b": pa.array([1, None], pa.int64()), "ds": days}), partition_by=["ds"])
    grown = pa.table({"a": ["new", None], "b": pa.array([3, 4], pa.int64()), "ds": days})
    write_deltalake(uri, grown, mode="append", schema_mode="merge", partition_by=["ds"])
    narrow = next(path for path in DeltaTable(uri).file_uris() if "a" not in pq.ParquetFile(path).schema_arrow.names)
    pq.write_table(pa.table({"b": pa.array([1, None], pa.int32())}), narrow)  # as before a type was widened
    frame = spark.createDataFrame(
        [("new", 3, MONDAY), (None, 4, MONDAY), (None, 1, MONDAY), (None, None, MONDAY)], "a string, b bigint, ds date"
    )
    assert content_hash_of(uri, day=MONDAY) == content_hashes(frame, days=[MONDAY])[MONDAY]
    without = content_hashes(frame.drop("a"), days=[MONDAY])[MONDAY]
    assert content_hash_of(uri, day=MONDAY, unhashed=["a"]) == without


def test_an_older_version_has_the_hash_of_its_own_rows(tmp_path):
    uri = str(tmp_path / "twice")
    for number in (1, 2):
        rows = pa.table({"a": [number], "ds": pa.array([MONDAY], pa.date32())})
        write_deltalake(uri, rows, mode="overwrite", partition_by=["ds"])
    latest = content_hash_of(uri, day=MONDAY)
    assert content_hash_of(uri, day=MONDAY, version=1) == latest != content_hash_of(uri, day=MONDAY, version=0)


def test_no_rows_and_no_table_are_empty(tmp_path):
    uri = str(tmp_path / "one")
    write_deltalake(uri, pa.table({"a": [1], "ds": pa.array([MONDAY], pa.date32())}), partition_by=["ds"])
    assert content_hash_of(uri, day=TUESDAY) == content_hash_of(f"{uri}/none", day=MONDAY) == "empty"
    assert hash_batches([], pa.schema([])) == "empty"
    assert rows_of("empty") == 0


def test_a_map_is_refused_as_spark_refuses_it():
    column = pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string()))
    with pytest.raises(TypeError, match="no hash of map"):
        hash_column(column, np.full(1, 42, np.uint64))


def test_rows_deleted_beside_the_files_are_refused_not_hashed(tmp_path):
    uri = str(tmp_path / "marked")
    rows = pa.table({"a": [1], "ds": pa.array([MONDAY], pa.date32())})
    write_deltalake(uri, rows, partition_by=["ds"], configuration={"delta.enableDeletionVectors": "true"})
    with pytest.raises(InputError, match="deletionVectors"):
        content_hash_of(uri, day=MONDAY)


def test_hashing_imports_no_spark():
    code = "import sys, headrace.rowhash; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
