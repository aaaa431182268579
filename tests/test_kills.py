"""A driver killed by SIGKILL at any place: readers see the last good version, and running again is enough."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from headrace.chain import plan_run, run_step
from headrace.config import Config
from headrace.receipts import latest_receipts
from headrace.steps import STEPS, step_named
from tests.conftest import DAYS, LAST
from tests.killed import HIT, PLACES, day_of
from trainer.published import PublishedDay, open_day, published_days

Outputs = dict[tuple[str, date], dict[str, str]]
_ROOT = Path(__file__).parent.parent
_REACHED: list[str] = []


def outputs(config: Config) -> Outputs:
    """Content hashes by job and day of what is done."""
    return {key: receipt.outputs for key, receipt in latest_receipts(config).items()}


def readable(config: Config) -> dict[date, list[dict[str, Any]]]:
    """Rows of all published days, every feature of them, as readers without Spark see them."""
    return {day.ds: _rows(config, day) for day in published_days(config.root)}


def _rows(config: Config, day: PublishedDay) -> list[dict[str, Any]]:
    columns = ["impression_id", "label_click", "sample_weight", *(feature.name for feature in day.features)]
    rows = [row for batch in open_day(config.root, day, columns=columns) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["impression_id"])


def run_again(spark, config: Config, *, state: bool) -> None:
    """What a person does in the morning."""
    plan = plan_run(config, ds=LAST, days=DAYS)
    for step in STEPS:
        run_step(lambda: spark, config, step, days=plan.per_step[step.name])
    if state:
        run_step(lambda: spark, config, step_named("state"), days=[day_of("state")])


@pytest.fixture(scope="module")
def undisturbed(spark, world, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    """Hashes of the world with a state that nobody disturbed."""
    config, _ = world
    made = tmp_path_factory.mktemp("undisturbed")
    own = config.model_copy(update={"root": str(made / "tables")})
    shutil.copytree(config.root, own.root)
    run_again(spark, own, state=True)
    yield outputs(own)


@pytest.mark.parametrize("place", PLACES)
def test_a_driver_killed_where(spark, copied, undisturbed, place):
    before = readable(copied)
    command = [sys.executable, "-m", "tests.killed", copied.root, copied.landing, place]
    killed = subprocess.run(
        command, cwd=_ROOT, start_new_session=True, capture_output=True, text=True, check=False, timeout=600
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    reached = (Path(copied.root).parent / HIT).read_text().splitlines()
    assert reached == [place]
    _REACHED.extend(reached)
    assert readable(copied) == before
    state = PLACES[place].step == "state"
    run_again(spark, copied, state=state)
    assert outputs(copied) == {key: made for key, made in undisturbed.items() if state or key[0] != "state"}
    assert readable(copied) == before


@pytest.mark.spark  # runs where they ran
def test_every_place_was_reached_once(request):
    asked = [
        item.callspec.params["place"] for item in request.session.items if item.name.startswith("test_a_driver_killed")
    ]
    assert sorted(_REACHED) == sorted(asked)
