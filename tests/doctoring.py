"""What the tests of `headrace doctor` share."""

import pytest

from headrace.doctor.check import Check

__all__ = ["only", "plain"]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Nothing in the environment that checks look at."""
    for name in ("PYSPARK_PYTHON", "SPARK_HOME", "SPARK_LOCAL_DIRS", "HEADRACE_TIMEZONE"):
        monkeypatch.delenv(name, raising=False)


def only(checks) -> Check:
    (check,) = checks
    return check
