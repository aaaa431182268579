"""The house rules for headrace.airflow, whose modules only import where Airflow is."""

import ast
import importlib
import inspect
import sys

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from tests.airflow.conftest import ROOT

FILES = sorted((ROOT / "headrace" / "airflow").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_public_name_exists_and_is_documented(path):
    module = importlib.import_module(f"headrace.airflow.{path.stem}" if path.stem != "__init__" else "headrace.airflow")
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        member = getattr(module, public)
        if inspect.isfunction(member) or inspect.isclass(member):
            assert member.__doc__, f"{path.stem}.{public} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_airflow_the_standard_library_and_the_steps_are_imported(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    allowed = ("airflow", "headrace.steps", "headrace.airflow")
    others = {name for name in names if not any(name == one or name.startswith(f"{one}.") for one in allowed)}
    assert {name.split(".")[0] for name in others} <= set(sys.stdlib_module_names), others


def test_no_file_is_longer_than_the_house_allows():
    for path in [*FILES, *(ROOT / "dags").glob("*.py")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path
