"""What got worse, and which gates failed: the rows of the first screen."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from reports.page import write_report
from reports.page_gates import gates_of, verdict_of
from reports.page_slices import slice_cells, slice_rows, worst_slices
from reports.page_worse import by_day, change_of, worse_features
from tests.reports.parse import parse
from tests.reports.tables import DAY, coverage_row, gate_row, numbers, receipt_row, write_rows


def _ago(days: int) -> date:
    return DAY - timedelta(days=days)


def _worse(rows: list[dict[str, Any]]) -> list[tuple[str, float]]:
    days = by_day(rows)
    names = {row["feature"] for row in rows}
    changes = {n: change_of({d: found[n]["coverage"] for d, found in days.items() if n in found}, DAY) for n in names}
    found, _ = worse_features(days, changes, last=DAY, blame={})
    return [(row["feature"], round(row["lost"], 6)) for row in found]


def test_a_change_is_against_the_latest_earlier_day_and_the_median_of_a_week() -> None:
    shares = {_ago(0): 0.5, _ago(1): None, _ago(2): 0.9, _ago(3): 0.6, _ago(7): 0.7, _ago(8): 0.1}
    change = change_of(shares, DAY)
    assert (change.before, change.since, change.median, change.days) == (0.9, _ago(2), 0.7, 3)
    assert change.fall == pytest.approx(0.4)


def test_without_an_earlier_day_nothing_changed() -> None:
    change = change_of({DAY: 0.5}, DAY)
    assert (change.by_day, change.by_median, change.fall) == (None, None, 0.0)


def test_features_are_sorted_by_lost_traffic_not_by_points() -> None:
    rows = [coverage_row(name, coverage=0.9, ds=_ago(1)) for name in ("light", "heavy", "rose", "same")]
    rows += [coverage_row("light", coverage=0.4, weight=100.0), coverage_row("heavy", coverage=0.8, weight=9000.0)]
    rows += [coverage_row("rose", coverage=0.95), coverage_row("same", coverage=0.8996)]
    assert _worse(rows) == [("heavy", 900.0), ("light", 50.0)]


def test_a_slow_fall_is_seen_against_the_median() -> None:
    rows = [coverage_row("a", coverage=share, ds=_ago(back)) for back, share in enumerate((0.60, 0.60, 0.80, 0.90))]
    assert _worse(rows) == [("a", 200.0)]


def test_the_state_that_grew_most_is_named_and_blame_takes_its_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(
            tmp_path, "coverage", [coverage_row(name, ds=_ago(1)), coverage_row(name, coverage=0.4, weight_stale=250.0)]
        )
    facts = {"b": {"blame": {"text": "half of the log is late", "input": "impressions"}}}
    page = parse(write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "r.html", facts=facts).read_text())
    rows = [row for row in page.texts("tr") if "-20.0 pp" in row and "200" in row]
    assert rows == ["a 40.0% -20.0 pp -20.0 pp 200 more stale", "b 40.0% -20.0 pp -20.0 pp 200 half of the log is late"]


def _slices(rows: list[dict[str, Any]]) -> Any:
    return slice_cells(pa.Table.from_pylist(rows))


def test_only_slices_whose_interval_is_below_zero_got_worse() -> None:
    cut = {"slice": "s", "psi": 0.1, "coverage_change": -0.1, "coverage_change_low": -0.2}
    rows = [coverage_row("a", value="sure", **cut, coverage_change_high=-0.01)]
    rows += [coverage_row("a", value="chance", **cut, coverage_change_high=0.01)]
    rows += [coverage_row("a", value="unknown", **cut, coverage_change_high=None)]
    found = worst_slices(_slices(rows))
    assert [(row["value"], row["lost"]) for row in found] == [("sure", 100.0)]


def test_one_feature_takes_three_places_among_the_worst_slices() -> None:
    fell = {"coverage_change_low": -0.3, "coverage_change_high": -0.1, "psi": 0.0, "slice": "s"}
    rows = [coverage_row("a", value=str(v), coverage_change=-0.5 + v / 100, **fell) for v in range(9)]
    rows.append(coverage_row("b", value="0", coverage_change=-0.2, **fell))
    assert [(row["feature"], row["value"]) for row in worst_slices(_slices(rows))] == [
        ("a", "0"),
        ("a", "1"),
        ("a", "2"),
        ("b", "0"),
    ]


def test_slice_values_stand_by_weight_and_null_is_its_own() -> None:
    rows = [coverage_row("a", slice="s", value="small", weight=10.0), coverage_row("a", slice="s", value=None)]
    rows += [
        coverage_row("a", slice="s", value="(null)", weight=500.0),
        coverage_row("b", slice="s", value=None, coverage=0.1),
    ]
    found = slice_rows(_slices(rows))
    assert [(row["value"], row["lowest"]) for row in found] == [("(null)", "b"), ("(null) (2)", "a"), ("small", "a")]


def test_a_table_without_changes_has_no_worse_slices() -> None:
    cells = _slices([coverage_row("a", slice="s", value="x")])
    assert worst_slices(cells) == []
    assert np.isnan(cells.cells["psi"]).all()


def test_gates_are_those_of_the_publish_receipts_revision_critical_first() -> None:
    rows = [gate_row("old", revision=1), gate_row("soft", revision=2, severity="warning"), gate_row("hard", revision=2)]
    rows += [gate_row("hard", revision=2, feature=None, slice=None, value=None, failed=1)]
    rows += [gate_row("passed", revision=2, feature=None, slice=None, value=None, failed=0)]
    found = gates_of([{**dict.fromkeys(("accepted", "median", "wanted_high")), **row} for row in rows], revision=2)
    assert [row["rule"] for row in found["failures"]] == ["hard", "soft"]
    assert (found["rules"], found["critical"], found["warning"]) == (3, 1, 1)
    assert found["failures"][0]["observed"] == "60.00%"
    assert found["failures"][0]["wanted"] == "at least 90.00%"


def test_a_rule_that_failed_without_naming_a_cell_is_shown() -> None:
    row = gate_row(
        "rows fell", feature=None, slice=None, value=None, metric="rows", failed=1, observed=12.0, wanted_low=2000.0
    )
    found = gates_of([{**dict.fromkeys(("accepted", "median", "wanted_high")), **row}], revision=None)
    assert [(one["feature"], one["observed"], one["wanted"]) for one in found["failures"]] == [
        (None, "12", "at least 2,000")
    ]


def test_an_accepted_failure_is_said_in_the_verdict(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    write_rows(tmp_path, "receipts", [receipt_row("publish", status="published")])
    write_rows(tmp_path, "gate_results", [gate_row("floor", accepted="the log was late", median=0.95)])
    page = parse(write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "r.html").read_text())
    verdict = page.texts("div", class_="verdict accepted")[0]
    assert "Accepted: the log was late" in verdict
    assert "Gates failed: 1 critical, 0 warnings" in verdict
    assert any(
        "critical floor a whole traffic coverage 60.00% at least 90.00% (median 95.00%)" in row
        for row in page.texts("tr")
    )


def test_notes_of_the_verdict_are_cut_and_shown_as_text() -> None:
    receipt = receipt_row("publish", status="published", notes={"a\x1b": "x" * 400})
    ((key, value),) = verdict_of([receipt], {"accepted": []}, ds=DAY)["notes"]
    assert key == "a\\x1b"
    assert value == "x" * 300 + " … (400 characters)"


def test_a_withdrawn_day_is_called_so() -> None:
    receipt = receipt_row("publish", status="unpublished", notes={"reason": "wrong"})
    assert verdict_of([receipt], {"accepted": []}, ds=DAY)["text"] == "Withdrawn"


def test_a_fall_in_a_slice_is_on_the_first_screen(tmp_path: Path) -> None:
    write_rows(
        tmp_path, "coverage", [coverage_row("a"), coverage_row("a", slice="scene", value="feed", **numbers([1.0]))]
    )
    page = parse(write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "r.html").read_text())
    assert "a scene feed 60.0% -20.0 pp -30.0 pp to -10.0 pp 200" in page.texts("tr")
