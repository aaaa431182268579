"""Each world of the conformance cases goes through the chain once a run."""

from collections.abc import Callable

import pytest

from tests.conformance.engine import Built, build_world


@pytest.fixture(scope="session")
def built(spark, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """World name -> the world after its chain."""
    made: dict[str, Built] = {}

    def world(name: str) -> Built:
        if name not in made:
            made[name] = build_world(lambda: spark, tmp_path_factory.mktemp(f"conformance-{name}"), world=name)
        return made[name]

    return world
