"""What `headrace verify` finds: nothing in a root as it was built, and whatever is changed, dropped, damaged or gone."""

import io
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from rich.console import Console

from headrace import verifybytes
from headrace.chain import run_step
from headrace.config import Config
from headrace.delta import delta_files
from headrace.errors import GateError, InputError
from headrace.receipts import REFUSED, STARTED, WITHDRAWN, all_latest
from headrace.steps import STEPS, step_named
from headrace.verifybytes import verify_days
from tests.conftest import FIRST, LAST, config_of

DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]


@pytest.fixture(scope="module")
def built(spark, world, tmp_path_factory) -> Config:
    """The tiny world with states of one day beside the chain."""
    return with_states(spark, copy_of(world[0], tmp_path_factory.mktemp("built")))


@pytest.fixture
def copied(built, tmp_path) -> Config:
    return copy_of(built, tmp_path)


def copy_of(config: Config, folder: Path) -> Config:
    made = config_of(folder, f"landing={config.landing}")
    shutil.copytree(config.root, made.root)
    return made


def with_states(spark, config: Config) -> Config:
    run_step(lambda: spark, config, step_named("state"), days=[FIRST])
    return config


def said(config: Config, days: list) -> str:
    text = io.StringIO()
    verify_days(config, days=days, console=Console(file=text, width=140))
    return text.getvalue()


def a_file(config: Config, name: str) -> Path:
    """The first file with rows of the last day."""
    return Path(config.root, name, next(f.path for f in delta_files(f"{config.root}/{name}", days=[LAST]) if f.rows))


def amid_values(path: Path) -> int:
    """A byte in the middle of the largest column: where a bit counts, unlike in a header."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    largest = max((group.column(i) for i in range(group.num_columns)), key=lambda c: c.total_compressed_size)
    return largest.data_page_offset + largest.total_compressed_size // 2


def read(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


def test_a_root_as_it_was_built_passes_in_every_job_and_table(built):
    text = said(built, DAYS)
    receipts = [r for (_, day), r in all_latest(built).items() if day in DAYS]
    assert text.count("the same") == sum(len(r.outputs) for r in receipts) > 80
    assert text.count("adds up") == len(receipts)
    assert all(f" {step.name} " in text for step in STEPS)
    assert all(f" {name} " in text for name in ("state", "state_user"))


def test_one_value_of_one_row_is_found(copied):
    path = a_file(copied, "labels")
    rows = read(path)
    place = rows.schema.get_field_index("position")
    changed = pc.add(rows["position"], pa.array([1] + [0] * (rows.num_rows - 1), pa.int32()))
    pq.write_table(rows.set_column(place, rows.field(place), changed), path)
    with pytest.raises(GateError, match=rf"labels of {LAST} \(labels\): other content in \d+ rows") as caught:
        said(copied, DAYS)
    assert caught.value.found.count(";") == 0
    assert caught.value.exit_code == 3
    assert f"headrace run --ds {LAST} --rebuild" in caught.value.remedy


def test_a_dropped_row_is_found_in_the_table_and_in_the_account(copied):
    path = a_file(copied, "impressions")
    rows = read(path)
    pq.write_table(rows.slice(1), path)
    with pytest.raises(GateError) as caught:
        said(copied, [LAST])
    content, account = caught.value.found.split("; ")
    assert content.startswith(f"impressions of {LAST} (ingest): ")
    assert "rows of impressions, noted" in account


def test_every_damaged_table_is_named(copied):
    flipped = a_file(copied, "spine")
    data = bytearray(flipped.read_bytes())
    data[amid_values(flipped)] ^= 0x10
    flipped.write_bytes(data)
    a_file(copied, "coverage").unlink()
    a_file(copied, "training_set").write_bytes(b"PAR1")
    with pytest.raises(GateError) as caught:
        said(copied, [LAST])
    for name in ("spine", "coverage", "training_set"):
        assert f"{name} of {LAST} (publish)" in caught.value.found
    assert f"coverage of {LAST} (coverage): FileNotFoundError" in caught.value.found


def test_a_damaged_side_table_says_the_step_that_builds_it(copied):
    shutil.rmtree(Path(copied.root, "state_user", "_delta_log"))
    with pytest.raises(GateError, match=r"state_user of .* \(state\): 0 rows, not") as caught:
        said(copied, [FIRST])
    assert caught.value.remedy.endswith(f"headrace state --ds {FIRST} --rebuild")


def test_a_published_day_is_held_against_its_pinned_version(copied):
    table = DeltaTable(f"{copied.root}/training_set")
    some = read(a_file(copied, "training_set"))["impression_id"][0].as_py()
    table.delete(f"ds = '{LAST}' and impression_id = {some}")
    with pytest.raises(GateError) as caught:
        said(copied, [LAST])
    assert f"training_set of {LAST} (features)" in caught.value.found
    assert "(publish)" not in caught.value.found


def test_receipts_that_do_not_add_up_are_found(built, monkeypatch):
    latest = all_latest(built)
    key = ("labels", LAST)
    monkeypatch.setattr(
        verifybytes, "all_latest", lambda _: latest | {key: replace(latest[key], rows_in=latest[key].rows_in + 1)}
    )
    with pytest.raises(GateError, match=rf"labels of {LAST}: \d+ rows in, "):
        said(built, [LAST])
    wrong = replace(latest[key], rows_out=latest[key].rows_out + 1, rows_in=latest[key].rows_in + 1)
    monkeypatch.setattr(verifybytes, "all_latest", lambda _: latest | {key: wrong})
    with pytest.raises(GateError, match=r"\d+ rows out, not \d+"):
        said(built, [LAST])


@pytest.mark.parametrize("status", [STARTED, REFUSED, WITHDRAWN])
def test_a_receipt_that_promises_nothing_is_shown_and_not_held_against_bytes(copied, monkeypatch, status):
    latest = all_latest(copied)
    key = ("publish", LAST)
    monkeypatch.setattr(verifybytes, "all_latest", lambda _: latest | {key: replace(latest[key], status=status)})
    assert f"not looked at: {status}" in said(copied, [LAST])


def test_a_day_without_receipts_is_missing_input(built):
    with pytest.raises(InputError, match=f"verify {LAST + timedelta(days=400)}"):
        said(built, [LAST, LAST + timedelta(days=400)])
