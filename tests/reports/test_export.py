"""Exports as another tool reads them: pandas, json, openpyxl."""

import csv
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.errors import ConfigError, InputError
from reports import workbook
from reports.export import export_coverage
from tests.reports.coverage_tables import DAY, covered, day_before, failed, receipt, write

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two days: a feature with bins, NaN and text, slices whose values look like formulas, a null one, an empty one."""
    values = [*FORMULAS, "plain", "a\nb", 'say "hi", ok', "", None]
    rows = [covered("n", bins=[-3, 0, 7], bin_weights=[1.0, 2.0, float("nan")], mean=-0.25, std=float("nan"))]
    rows += [
        covered("t", top_values=["=x", "b"], top_weights=[1.0, 2.0], distinct_sketch=b"\x00\xff", ds=day_before(1))
    ]
    rows += [covered("n", slice="city", value=value) for value in values]
    write(tmp_path / "tables", "coverage", rows)
    return tmp_path / "tables"


def _export(root: Path, format: str, **over: Any) -> Path:
    given: dict[str, Any] = {"ds": DAY, "days": 2, "format": format, "out": root.parent / "out" / f"c.{format}"} | over
    return export_coverage(str(root), **given)


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _sheet(path: Path, name: str) -> list[tuple[Any, ...]]:
    from openpyxl import load_workbook

    book = load_workbook(path)
    try:
        return list(book[name].iter_rows(values_only=True))
    finally:
        book.close()


def test_csv_holds_every_slice_of_the_days_without_the_sketch(root: Path) -> None:
    rows = _csv(_export(root, "csv"))
    assert len(rows) == 14 and "distinct_sketch" not in rows[0]
    assert next(iter(rows[0])) == "ds"
    assert [row["ds"] for row in rows] == [str(day_before(1))] + [str(DAY)] * 13
    assert len(_csv(_export(root, "csv", days=1))) == 13


def test_csv_numbers_stay_numbers_and_lists_are_json(root: Path) -> None:
    (row,) = [row for row in _csv(_export(root, "csv", days=1)) if row["slice"] == "all"]
    assert (float(row["mean"]), int(row["rows"]), row["std"]) == (-0.25, 1000, "")
    assert json.loads(row["bins"]) == [-3, 0, 7] and json.loads(row["bin_weights"]) == [1.0, 2.0, None]


def test_csv_text_that_starts_like_a_formula_stands_behind_an_apostrophe(root: Path) -> None:
    values = {row["value"] for row in _csv(_export(root, "csv")) if row["slice"] == "city"}
    assert {f"'{text}" for text in FORMULAS} <= values
    assert {"plain", "a\nb", 'say "hi", ok'} <= values
    assert not [value for value in values if value[:1] in "=+-@\t\r" and value]


def test_csv_tells_null_from_the_empty_text(root: Path) -> None:
    text = _export(root, "csv").read_text(encoding="utf-8")
    assert text.count('"n","city","",') == 1 and text.count('"n","city",,') == 1


def test_json_is_one_array_with_lists_as_lists_and_no_nan(root: Path) -> None:
    text = _export(root, "json").read_text(encoding="utf-8")
    rows = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    (row,) = [row for row in rows if row["slice"] == "all" and row["ds"] == str(DAY)]
    assert (row["bins"], row["bin_weights"], row["std"]) == ([-3, 0, 7], [1.0, 2.0, None], None)
    assert len(rows) == 14 and "distinct_sketch" not in row
    assert {row["value"] for row in rows if row["slice"] == "city"} >= {"=1+1", "", None}


def test_the_workbook_has_its_sheets_and_typed_cells(root: Path) -> None:
    write(root, "gate_results", [failed(value="=cmd")])
    write(root, "receipts", [receipt("publish", status="published", notes={"k": "v"}), receipt("ingest", notes={})])
    path = _export(root, "xlsx")
    from openpyxl import load_workbook

    book = load_workbook(path)
    assert book.sheetnames == ["summary", "features", "slices", "gates", "receipts"]
    features = book["features"]
    header = [cell.value for cell in features[1]]
    assert header[:4] == ["ds", "feature", "slice", "value"] and "distinct_sketch" not in header
    found = dict(zip(header, features[3], strict=True))
    assert (found["ds"].value, found["ds"].is_date) == (datetime(2026, 3, 14), True)
    assert (found["mean"].value, found["mean"].data_type, found["std"].value) == (-0.25, "n", None)
    assert not {"bins", "bin_weights"} & set(header)
    lists = dict(zip(header, features[2], strict=True))
    assert lists["top_values"].value == '["=x", "b"]'
    assert (features.freeze_panes, features.auto_filter.ref) == ("C2", f"A1:{features.dimensions.split(':')[1]}")
    assert [cell.data_type for row in book["slices"] for cell in row if cell.data_type == "f"] == []
    assert {row[3].value for row in book["slices"]} >= set(FORMULAS) - {"\r=1"}
    header, first, _ = book["receipts"].iter_rows(values_only=True)
    publish = dict(zip(header, first, strict=True))
    assert json.loads(publish["notes"]) == {"k": "v"} and publish["started_at"] == datetime(2026, 3, 15, 1)
    book.close()


def test_the_summary_says_of_every_day_what_it_holds(root: Path) -> None:
    write(root, "receipts", [receipt("publish", status="refused"), receipt("publish", status="published", revision=2)])
    header, *rows = _sheet(_export(root, "xlsx", days=3), "summary")
    assert header == ("ds", "status", "coverage", "features", "rows", "weight")
    assert rows[0] == (datetime(2026, 3, 12), "not published", None, 0, 0, 0)
    assert rows[2] == (datetime(2026, 3, 14), "published", 0.9, 1, 1000, 10_000)


def test_a_sheet_that_is_full_goes_on_in_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 6)
    path = _export(root, "xlsx")
    parts = [_sheet(path, name) for name in ("slices", "slices 2", "slices 3")]
    assert [len(part) for part in parts] == [6, 6, 3]
    assert {part[0] for part in parts} == {parts[0][0]}
    assert len({row[3] for part in parts for row in part[1:]}) >= 10


def test_text_longer_than_a_cell_says_so(root: Path) -> None:
    write(root, "coverage", [covered("long", top_values=["x" * 33_000], top_weights=[1.0])])
    header, *rows = _sheet(_export(root, "xlsx"), "features")
    long = next(dict(zip(header, row, strict=True)) for row in rows if row[1] == "long")
    assert long["top_values"].endswith("more than a cell holds: export as csv)")


def test_the_same_tables_give_the_same_bytes(root: Path) -> None:
    for format in ("csv", "json", "xlsx"):
        first = _export(root, format).read_bytes()
        assert _export(root, format).read_bytes() == first


def test_columns_that_an_older_day_lacks_are_empty(tmp_path: Path) -> None:
    old = pa.schema([("feature", pa.string()), ("slice", pa.string()), ("rows", pa.int64()), ("ds", pa.date32())])
    write(tmp_path, "coverage", [covered("a", ds=day_before(1))], schema=old)
    new = pa.table({"feature": ["a"], "slice": ["all"], "rows": [2], "q50": [1.5], "ds": pa.array([DAY], pa.date32())})
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "coverage"), new, mode="append", schema_mode="merge", partition_by=["ds"])
    rows = json.loads(_export(tmp_path, "json", out=tmp_path / "o.json").read_text())
    assert [(row["rows"], row["q50"]) for row in rows] == [(1000, None), (2, 1.5)]


@pytest.mark.parametrize("over", [{"format": "pdf"}, {"days": 0}])
def test_wrong_arguments_are_a_config_error(root: Path, over: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        _export(root, **({"format": "csv"} | over))


@pytest.mark.parametrize("format", ["csv", "json", "xlsx"])
def test_an_out_that_cannot_be_written_is_a_config_error_and_leaves_nothing(root: Path, format: str) -> None:
    folder = root.parent / "is-a-folder"
    (folder / "x").mkdir(parents=True)
    with pytest.raises(ConfigError, match="Is a directory"):
        _export(root, format, out=folder)
    with pytest.raises(ConfigError, match="change --out"):
        _export(root, format, out=Path("/proc/nowhere/c"))
    assert sorted(path.name for path in root.parent.iterdir()) == ["is-a-folder", "tables"]


def test_a_failure_on_the_way_leaves_the_older_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _export(root, "xlsx")
    before = out.read_bytes()
    monkeypatch.setattr(workbook, "_summary", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _export(root, "xlsx")
    assert out.read_bytes() == before and [path.name for path in out.parent.iterdir()] == ["c.xlsx"]


@pytest.mark.parametrize("ds", [date(2026, 4, 1), date(2020, 1, 1)])
def test_days_without_coverage_are_an_input_error(root: Path, ds: date) -> None:
    with pytest.raises(InputError, match=r"2026-03-13 \.\. 2026-03-14"):
        _export(root, "csv", ds=ds)
    with pytest.raises(InputError, match=r"found: +none"):
        export_coverage(str(root / "nowhere"), ds=DAY, days=1, format="csv", out=root / "c.csv")
