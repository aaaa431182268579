"""Words and shares of the report, and the summary for the terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from headrace.errors import InputError
from reports.page_features import feature_group
from reports.page_text import percent, points, shown, texts_of
from reports.page_worse import worst_first
from reports.terminal import coverage_table
from tests.reports.tables import DAY, coverage_row, write_rows


def _printed(root: Path) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(coverage_table(str(root), ds=DAY))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100%"), (0.99996, "99.9%"), (0.5, "50.0%"), (0.0004, "<0.1%"), (0.0, "0%"), (None, "no data")],
)
def test_a_share_is_never_rounded_to_all_or_to_nothing(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_what_cannot_be_seen_is_written_out() -> None:
    assert [shown(text) for text in (None, "", "a\tb", "\u202ex", "ok é")] == [
        "(null)",
        "(empty)",
        "a\\x09b",
        "\\u202ex",
        "ok é",
    ]


def test_different_names_have_different_texts() -> None:
    assert texts_of([None, "(null)", "", "a"]) == ["(null)", "(null) (2)", "(empty)", "a"]


@pytest.mark.parametrize(
    ("change", "text"), [(-0.0213, "-2.1 pp"), (0.5, "+50.0 pp"), (-0.0001, "±0 pp"), (None, "no data")]
)
def test_a_change_is_in_points_with_its_sign(change: float | None, text: str) -> None:
    assert points(change) == text


def test_features_without_data_come_before_the_lowest() -> None:
    shares = {"a": 0.5, "b": None, "c": 0.0}
    rows = [coverage_row(name, coverage=share) for name, share in shares.items()]
    assert [row["feature"] for row in worst_first(rows)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("user_click_count_7d", "user statistics"),
        ("item_by_age_band_click_rate_smoothed_7d", "item by segment"),
        ("author_click_recency_s", "author statistics"),
        ("user_registered_age_s", "user profile"),
        ("item_format", "item profile"),
        ("context_hour", "context"),
        ("scene", "context"),
    ],
)
def test_a_group_is_guessed_from_a_generated_name(name: str, group: str) -> None:
    assert feature_group(name) == group


def test_the_terminal_shows_the_fifteen_lowest_with_their_states(tmp_path: Path) -> None:
    rows = [coverage_row(f"f{i:02}", coverage=0.5 + i / 100) for i in range(20)]
    write_rows(tmp_path, "coverage", [*rows, coverage_row("cut", slice="scene", value="x")])
    text = _printed(tmp_path)
    assert "60.0% of the traffic over 20 features" in text
    assert [name for name in (f"f{i:02}" for i in range(20)) if name in text] == [f"f{i:02}" for i in range(15)]
    assert "default_filled" in text
    assert "cut" not in text


def test_a_hostile_name_cannot_style_the_terminal(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("[red]x[/red]\x1b[31m")])
    assert "[red]x[/red]\\x1b[31m" in _printed(tmp_path)


def test_a_day_without_rows_says_no_data_in_the_terminal(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [])
    assert "no data" in _printed(tmp_path)


def test_the_terminal_names_the_command_where_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="headrace run"):
        coverage_table(str(tmp_path), ds=DAY)
