"""One Spark session for the whole run, and a tiny world that has been through the whole chain once."""

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from headrace.chain import plan_run, run_step
from headrace.config import Config, load_config
from headrace.receipts import Receipt, kept_receipts
from headrace.steps import STEPS
from tests import tiny

FIRST, LAST, DAYS = date(2024, 3, 30), date(2024, 4, 2), 3


# Files that take longest, which two processes share best if they come first; the second does not need `world` while the first makes it.
_LONGEST = (
    "test_chain",
    "test_conformance",
    "test_kills",
    "test_package_cluster",
    "test_days",
    "test_conflicts",
    "test_ingest",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the session or a cluster are marked, so that `make test` can run the others beside them."""
    items.sort(key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST))
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()) or item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session")
def spark() -> Iterator:
    """One for the run."""
    from tests.session import tiny_session

    session = tiny_session()
    yield session
    session.stop()


def config_of(folder: Path, *settings: str) -> Config:
    """The tests' configuration over the landing and tables of `folder`."""
    where = [f"landing={folder}/landing", f"root={folder}/tables"]
    return load_config(Path(__file__).parent / "data" / "tiny.yaml", settings=[*where, *settings])


def run_all(spark, config: Config, *, ds: date = LAST, days: int = DAYS, order: int = 1) -> list:
    """Every step of the chain, for all days at once."""
    plan = plan_run(config, ds=ds, days=days)
    return [run_step(lambda: spark, config, step, days=plan.per_step[step.name][::order]) for step in STEPS]


@pytest.fixture(scope="session")
def world(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, list[Receipt]]:
    """A tiny world after `run`: configuration and receipts. Made once, also where several processes share the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "world"
    folder.mkdir(exist_ok=True)
    config = config_of(folder)
    with FileLock(folder / "lock"):
        if not (folder / "made").exists():
            tiny.write_world(folder / "landing", first=FIRST, days=6)
            run_all(spark, config)
            (folder / "made").touch()
    return config, kept_receipts(config)


@pytest.fixture
def copied(world, tmp_path: Path) -> Config:
    """The tiny world's tables in a root of their own, to be changed at will."""
    config, _ = world
    copy = config_of(tmp_path, f"landing={config.landing}")
    shutil.copytree(config.root, copy.root)
    return copy
