"""The cases are whole: every ruling has one, they are small, they stand alone, and the document lists them."""

import re
from collections import Counter
from pathlib import Path

from tests.conformance.case import catalogue, load_cases

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "conformance.md"


def test_every_ruling_on_statistics_has_a_case():
    held = {ruling for case in load_cases() for ruling in case.rulings}
    assert held == {f"S{number}" for number in range(1, 26)}


def test_there_are_enough_cases_and_each_is_small():
    cases = load_cases()
    assert len(cases) >= 44
    assert {case.name: case.row_count for case in cases if case.row_count > 12} == {}


def test_a_case_has_a_name_of_its_own_a_sentence_a_world_and_something_expected():
    cases = load_cases()
    assert [name for name, times in Counter(case.name for case in cases).items() if times > 1] == []
    for case in cases:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", case.name)
        assert case.sentence.endswith(".") and case.world in catalogue()["worlds"]
        assert case.expect and all(case.expect.values())


def test_ids_of_a_case_stay_its_own():
    taken: Counter[object] = Counter()
    for case in load_cases():
        ids = {v for rows in case.rows.values() for row in rows for c, v in row.items() if c.endswith("_id")}
        taken.update({case.moved(v) for v in ids if v is not None})
    assert [value for value, cases in taken.items() if cases > 1] == []


def test_the_document_lists_every_case_with_its_sentence():
    text = DOCUMENT.read_text(encoding="utf-8")
    lacking = [c.name for c in load_cases() if f"`{c.name}`" not in text or c.sentence not in text]
    assert lacking == [], "run python -m tests.conformance.table"
