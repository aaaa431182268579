"""docs/runbook.md cannot go stale: every entry is made here, by what brings it about at night, and compared."""

import inspect
import re
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.runbook import landing, published, settings, steps
from tests.runbook.night import Night, ended
from tests.runbook.page import COMMANDS, ENTRIES, Entry, complaint

SPARK = ("rows-quarantined", "file-damaged-inside", "gates-refused")  # the others need no session


def causes_in(*modules: ModuleType) -> dict[str, Callable[[Night], None]]:
    """Slug -> the function that brings it about: every public one that a module defines."""
    return {
        name.replace("_", "-"): cause
        for module in modules
        for name, cause in inspect.getmembers(module, inspect.isfunction)
        if cause.__module__ == module.__name__ and not name.startswith("_")
    }


CAUSES = causes_in(settings, landing, steps, published)


@pytest.fixture
def night(tmp_path, monkeypatch) -> Night:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_LOG", "text")
    return Night(tmp_path, monkeypatch)


def check(entry: Entry, night: Night, capsys) -> None:
    code, said = ended(lambda: CAUSES[entry.slug](night), capsys)
    assert code == entry.exit_code == entry.section, said
    assert entry.fits(said), said


def test_every_entry_has_a_cause_and_every_cause_an_entry():
    assert sorted(ENTRIES) == sorted(CAUSES)
    assert len(ENTRIES) >= 20


@pytest.mark.parametrize("slug", [slug for slug in CAUSES if slug not in SPARK])
def test_an_entry_is_what_the_night_says(slug, night, capsys):
    check(ENTRIES[slug], night, capsys)


@pytest.mark.parametrize("slug", SPARK)
def test_an_entry_that_needs_a_session_is_what_the_night_says(slug, spark, night, capsys, request):
    night.spark = spark
    night.finished = request.getfixturevalue("copied") if slug == "gates-refused" else None
    check(ENTRIES[slug], night, capsys)


def test_entries_stand_in_the_order_of_their_codes_and_say_what_to_do_and_whether_to_run_again():
    assert [entry.section for entry in ENTRIES.values()] == sorted(entry.section for entry in ENTRIES.values())
    for entry in ENTRIES.values():
        assert re.search(r"\*\*Do\*\* [\s\S]+\*\*Again\*\* (yes|no|when)\b", entry.advice), entry.slug


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_exists_with_these_options_and_lacks_none(command):
    assert complaint(command) == ""


def test_a_command_that_is_wrong_is_found():
    assert complaint("headrace statuss") == "no command statuss"
    assert complaint("headrace status --config C --day 3") == "no option --day"
    assert complaint("headrace run --config C --rebuild") == "without --ds"
    assert complaint("headrace status") == "without --config"


def test_the_error_line_of_a_json_log_is_found_by_what_the_page_greps_for(night, capsys, monkeypatch):
    monkeypatch.setenv("HEADRACE_LOG", "json")
    _, said = ended(lambda: CAUSES["day-not-landed"](night), capsys)
    assert '"event": "error"' in said and '"remedy"' in said and '"exit_code": 4' in said
