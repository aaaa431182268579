"""Airflow's environment for these tests: a home of its own, a database in it, and programs that only pretend.

Everything runs in .venv-airflow (`make test-airflow`); elsewhere the modules skip themselves.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = find_spec("airflow") is not None
if HERE:  # before Airflow is imported: it reads its environment then
    _home = tempfile.mkdtemp(prefix="headrace-airflow-")
    os.environ |= {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
    }
    for _name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        del os.environ[_name]


def pytest_unconfigure() -> None:
    """Airflow's home goes with the run."""
    if HERE:
        shutil.rmtree(_home, ignore_errors=True)


_FAKE = """#!{python}
import json, os, pathlib, sys, time
folder = pathlib.Path({folder!r})
job = next((pathlib.Path(one).stem for one in sys.argv[1:] if one.endswith(".py")), None)
name = job or sys.argv[1]
kept = ("HEADRACE_RUN_ID", "HEADRACE_LOG", "PYSPARK_PYTHON")
with open(folder / "calls", "a") as calls:
    print(json.dumps({{"name": name, "arguments": sys.argv[1:], **{{key: os.environ.get(key) for key in kept}}}}), file=calls)
answers = sorted(folder.glob(name + ".*.answer"))  # one is used up a call; the last one stays
if answers:
    text = answers[0].read_text()
    if len(answers) > 1:
        answers[0].unlink()
    code, _, said = text.partition("\\n")
    print(said)
    sys.stdout.flush()
    if code == "hang":
        time.sleep(60)
    sys.exit(int(code))
print("[\\"user\\", \\"item\\"]" if "groups" in sys.argv else name + " done")
"""


class Programs:
    """A folder with a `headrace` and a `spark-submit` that log their calls and answer as they are told."""

    def __init__(self, folder: Path) -> None:
        self.bin, self._folder = folder / "bin", folder / "answers"
        self.bin.mkdir()
        self._folder.mkdir()
        for name in ("headrace", "spark-submit"):
            program = self.bin / name
            program.write_text(_FAKE.format(python=sys.executable, folder=str(self._folder)))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def answer(self, name: str, *answers: tuple[int | str, str]) -> None:
        """What the command or job `name` says and ends with, call after call; the last answer stays."""
        for number, (code, said) in enumerate(answers):
            (self._folder / f"{name}.{number}.answer").write_text(f"{code}\n{said}")

    @property
    def calls(self) -> list[dict]:
        """Every call so far."""
        path = self._folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs that pretend, and the settings that lead to them."""
    made = Programs(tmp_path)
    (tmp_path / "c.yaml").write_text("extends: local.yaml\n")
    wanted = {"BIN": made.bin, "CONFIG": tmp_path / "c.yaml", "REPORTS": tmp_path / "reports", "POLL_S": 1}
    for name, value in wanted.items():
        monkeypatch.setenv(f"HEADRACE_{name}", str(value))
    return made


@pytest.fixture(scope="session")
def database() -> Iterator[Path]:
    """Airflow's database, made once."""
    home = Path(os.environ["AIRFLOW_HOME"])
    airflow = [sys.executable, "-m", "airflow"]
    subprocess.run([*airflow, "db", "migrate"], check=True, capture_output=True, timeout=300)
    pools = {
        name: {"slots": 2, "description": "", "include_deferred": False}
        for name in ("headrace_chain", "headrace_groups")
    }
    (home / "pools.json").write_text(json.dumps(pools))
    subprocess.run(
        [*airflow, "pools", "import", str(home / "pools.json")], check=True, capture_output=True, timeout=300
    )
    yield home
