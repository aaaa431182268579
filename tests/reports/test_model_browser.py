"""The model report in a headless Chromium, under its own policy; what it asks of a network or says on the console fails a test."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.reported import HOSTILE, checkpoint_of, evaluation_of, importances
from trainer.report import write_model_report

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with all that a report can show, judged on two days."""
    checkpoint = checkpoint_of()
    judged = {"validation": evaluation_of(checkpoint, number=2), "test": evaluation_of(checkpoint, seed=6)}
    out = tmp_path_factory.mktemp("model") / "report.html"
    write_model_report(checkpoint, judged, out=out, importance=importances())
    return out


def test_the_page_opens_with_its_drawings_and_nothing_is_asked_or_said(report: Path, opened: Open) -> None:
    tab = opened(report)
    assert tab.evaluate("document.scripts.length") == 2
    places = tab.locator("#on-1 .plot svg").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert len(places) == 7 and min(places) > 60  # three of reliability, three by segment, one of seconds


def test_hostile_names_are_text(report: Path, opened: Open) -> None:
    tab = opened(report)
    said = HOSTILE.replace("\u202e", "\\u202e")
    assert tab.locator("[data-csv=encoders] tbody th").last.inner_text() == said
    assert tab.locator("[data-csv=importance] tbody th").last.inner_text() == said


def test_a_table_is_saved_under_the_models_name(report: Path, opened: Open) -> None:
    tab = opened(report)
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="Download as CSV: Heads on test").click()
    assert saved.value.suggested_filename == "model-mmoe-2024-05-02-heads-test.csv"
    rows = list(csv.reader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row[0] for row in rows] == ["Head", "click", "like", "completion ratio"]
    assert rows[1][3].startswith("0.") or rows[1][3].startswith("1.")


def test_a_heading_sorts_its_table(report: Path, opened: Open) -> None:
    tab = opened(report)
    table = tab.locator("table[data-csv=heads-test]")
    table.get_by_role("button", name="Rows").focus()
    tab.keyboard.press("Enter")
    assert table.locator("tbody tr").last.locator("th").inner_text() == "completion ratio"


def test_everything_is_reached_by_the_keyboard(report: Path, opened: Open) -> None:
    tab = opened(report)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
    fold = tab.locator("#on-2 > details > summary")
    fold.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#on-2 .plot svg").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(report: Path, opened: Open, axe: str, scheme: str) -> None:
    tab = opened(report, color_scheme=scheme)
    tab.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    tab.evaluate(axe)
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


def test_at_four_times_the_size_nothing_is_wider_than_the_window(report: Path, opened: Open) -> None:
    tab = opened(report, width=320)
    tab.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") == 320


def test_without_scripts_all_but_the_buttons_stands(report: Path, opened: Open) -> None:
    tab = opened(report, java_script_enabled=False)
    assert tab.locator("h1").inner_text().startswith("mmoe")
    assert tab.locator("#training .plot svg").count() == 5
    assert tab.locator(".csv").count() == 0
    assert tab.locator("noscript").inner_text().startswith("Without JavaScript")


def test_on_paper_tables_are_whole_and_controls_are_gone(report: Path, opened: Open) -> None:
    tab = opened(report, color_scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert not tab.locator(".csv").first.is_visible()
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(26, 33, 41)"
    assert tab.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("details:not([open])").count() == 0
    assert tab.pdf().startswith(b"%PDF")
