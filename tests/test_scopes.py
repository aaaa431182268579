"""Which days a step looks at: those asked for, all of history, or what publishing a day needs."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from headrace.chain import scope_days
from headrace.config import Config
from headrace.days import day_range
from headrace.errors import ConfigError, InputError
from headrace.steps import step_named
from tests.conftest import config_of

FIRST, DS = date(2024, 5, 1), date(2024, 5, 4)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Eight days that landed."""
    for number in range(8):
        (tmp_path / "landing" / "impressions" / f"ds={FIRST + timedelta(days=number)}").mkdir(parents=True)
    return config_of(tmp_path)


@pytest.mark.parametrize(
    ("step", "scope", "days", "first", "last"),
    [
        ("tiles", "day", 1, DS, DS),
        ("tiles", "day", 3, DS - timedelta(days=2), DS),
        ("tiles", "history", 1, FIRST, DS),
        ("tiles", "publish", 1, FIRST, DS + timedelta(days=1)),
        ("labels", "publish", 2, DS - timedelta(days=1), DS),
    ],
)
def test_days_of_a_scope(config, step, scope, days, first, last):
    found = scope_days(config, step_named(step), ds=DS, days=days, scope=scope)
    assert found == list(day_range(first, last))


def test_publishing_needs_ingest_until_labels_are_mature(config):
    found = scope_days(config, step_named("ingest"), ds=DS, days=1, scope="publish")
    assert (found[0], found[-1]) == (FIRST, DS + timedelta(days=config.labels.maturity_days))


def test_a_number_of_days_beside_history_is_refused(config):
    with pytest.raises(ConfigError, match="--days\n  found:  2 beside --scope history"):
        scope_days(config, step_named("tiles"), ds=DS, days=2, scope="history")


def test_days_before_history_are_refused(config):
    with pytest.raises(InputError, match="where history begins"):
        scope_days(config, step_named("tiles"), ds=FIRST - timedelta(days=1), days=1, scope="history")
