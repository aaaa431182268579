"""A key with a fifth, or three fifths, of all rows: no partition gets much more than its part, and nothing else changes."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from features.skew import hot_keys, shares_of
from headrace.exchange import pack, unpack
from tests.test_arrowfiles import MONDAY


def spine(share: float, *, rows: int = 400_000) -> pa.Table:
    rng = np.random.default_rng(5)
    keys = rng.integers(1, 200_000, rows)
    keys[rng.random(rows) < share] = 77
    return pa.table({"user_id": keys, "number": np.arange(rows)})


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_no_partition_gets_twice_the_mean_and_every_row_arrives_once(share):
    rows, partitions = spine(share), 200
    hot = shares_of(Counter(rows["user_id"].to_pylist()), rows=rows.num_rows, partitions=partitions)
    assert set(hot) == {77}
    loads: Counter[int] = Counter()
    seen = []
    for batch in pack(rows, key="user_id", tag="rows", partitions=partitions, hot=hot):
        table = unpack([batch])["rows"]
        loads[batch["pid"][0].as_py()] += table.num_rows
        seen.append(table["number"].to_numpy())
    assert max(loads.values()) <= 2 * rows.num_rows / partitions
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(rows.num_rows))


def test_every_partition_with_rows_of_a_hot_key_has_all_of_its_tiles():
    rows, partitions = spine(0.2, rows=50_000), 40
    hot = shares_of(Counter(rows["user_id"].to_pylist()), rows=rows.num_rows, partitions=partitions)
    tiles = pa.table({"key": [77, 77, 5, None], "hour": [1, 2, 3, 4]})

    def placed(table: pa.Table, key: str, *, copies: bool) -> dict[int, pa.Table]:
        packed = pack(table, key=key, tag="t", partitions=partitions, hot=hot, copies=copies)
        return {batch["pid"][0].as_py(): unpack([batch])["t"] for batch in packed}

    met = placed(tiles, "key", copies=True)
    for pid, table in placed(rows, "user_id", copies=False).items():
        if 77 in table["user_id"].to_pylist():
            assert [h for k, h in zip(*met[pid].to_pydict().values(), strict=True) if k == 77] == [1, 2]
    assert Counter(h for table in met.values() for h in table["hour"].to_pylist()) == {
        1: hot[77],
        2: hot[77],
        3: 1,
        4: 1,
    }


def test_hot_keys_are_found_by_the_tasks_that_read_the_spine(spark, tmp_path):
    import pyarrow.parquet as pq

    from headrace.delta import DeltaFile

    rows = spine(0.3, rows=40_000)
    files = []
    for number in range(3):
        part = rows.slice(number * 15_000, 15_000)
        pq.write_table(part, tmp_path / f"{number}.parquet", row_group_size=5_000)
        files.append(DeltaFile(str(tmp_path / f"{number}.parquet"), MONDAY, part.num_rows))
    found = hot_keys(spark, files, columns=["user_id", "number"], partitions=20)
    assert set(found["user_id"]) == {77} and found["number"] == {}
    assert found["user_id"][77] == 20  # its 12,000 rows are 24 times a quarter of a partition: all share them
