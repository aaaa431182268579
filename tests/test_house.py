"""The house rules that a machine can hold: imports point one way, public faces are true, docs and --help agree."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.steps import STEPS

ROOT = Path(__file__).parent.parent
PACKAGES = ("adapters", "features", "headrace", "jobs", "reports", "sampling", "schemas", "simulation", "trainer")
MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for name in PACKAGES
    for p in (ROOT / name).rglob("*.py")
    if p.parent != ROOT / "headrace" / "airflow"  # held by tests/airflow/test_house.py, where Airflow is
)


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return found | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists_and_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} says nothing of itself"
    for public in getattr(module, "__all__", ()):
        member = getattr(module, public)
        if inspect.isfunction(member) or inspect.isclass(member):
            assert member.__doc__, f"{name}.{public} has no docstring"


@pytest.mark.parametrize("package", ["trainer", "simulation", "adapters"])
def test_no_module_imports_spark_where_none_may_be(package):
    for path in (ROOT / package).rglob("*.py"):
        assert not any(name.split(".")[0] in ("pyspark", "delta") for name in imports(path)), path


def test_imports_point_one_way():
    for path in [
        *(ROOT / "features").rglob("*.py"),
        *(ROOT / "sampling").rglob("*.py"),
        *(ROOT / "schemas").rglob("*.py"),
    ]:
        assert not any(name.split(".")[0] == "jobs" for name in imports(path)), path
    for path in (ROOT / "schemas").rglob("*.py"):
        assert not any(name.split(".")[0] in ("features", "sampling", "reports") for name in imports(path)), path


def test_no_rdd_and_no_reaching_into_the_jvm():
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\.rdd\b|\._jvm\b|\._jdf\b|\.toPandas\(", text), path


@pytest.mark.parametrize("step", [s.name for s in STEPS])
def test_a_job_is_three_verbs_and_under_thirty_lines_of_code(step):
    tree = ast.parse((ROOT / "jobs" / f"{step}.py").read_text(encoding="utf-8"))
    build = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build")
    assert (build.end_lineno or 0) - build.lineno < 30


@pytest.mark.parametrize("step", [s.name for s in STEPS])
def test_a_job_runs_as_a_script_whose_folder_hides_packages_of_the_same_name(step, tmp_path):
    script = [sys.executable, str(ROOT / "jobs" / f"{step}.py"), "--help"]
    shown = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert f"headrace {step}" in shown.stdout


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["simulate"],
        ["adapt"],
        ["train"],
        *[[n] for n in ("evaluate", "predict", "export", "rank", "recall")],
        ["report"],
        ["demo"],
        *[
            [n]
            for n in (
                "doctor",
                "landed",
                "status",
                "delays",
                "gates",
                "manifest",
                "rebuild",
                "unpublish",
                "prune",
                "verify",
            )
        ],
        ["features"],
        ["features", "list"],
        ["features", "show"],
        ["features", "explain"],
        *[[s.name] for s in STEPS],
    ],
)
def test_help_of_every_command_shows_an_example(command):
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "headrace" in shown.output


def test_commands_that_the_readme_shows_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands} | {"features"}
    assert set(re.findall(r"^(?:\$ )?headrace ([a-z]+)", text, re.MULTILINE)) <= names
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^(?:\$ )?make ([a-z]+)", text, re.MULTILINE)) <= targets
    assert len(text.splitlines()) < 150


def test_the_gate_calls_the_readmes_test_command():
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_wrong_arguments_exit_2_and_missing_input_exits_4(tmp_path):
    def code(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", "from headrace.cli import main; main()", *arguments],
            capture_output=True,
            cwd=tmp_path,
        ).returncode

    assert code("run", "--ds", "2024-05-01", "--set", "sampling.rate=1") == 2
    assert code("run", "--ds", "yesterday") == 2
    assert code("run", "--ds", "2024-05-01", "--set", f"landing={tmp_path}/none") == 4


def test_features_list_shows_type_unit_source_and_default():
    shown = CliRunner().invoke(app, ["features", "list", "--group", "item"])
    line = next(text for text in shown.output.splitlines() if "item_click_count_7d" in text)
    assert all(part in line for part in ("bigint", "events", "group:item", "0"))


@pytest.mark.parametrize("name", ["base.yaml", "model.yaml"])
def test_every_key_of_the_configuration_is_documented_with_a_comment(name):
    lines = (ROOT / "conf" / name).read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"^ *[a-z_]+: *[^ #]", line)]
    bare = [
        line for line in keys if "#" not in line and not re.match(r"^ {4}columns: ", line) and "tolerance" not in line
    ]
    assert bare == []


def test_the_projects_semantics_hold_every_ruling():
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    assert all(f"S{number}. " in text for number in range(1, 47))
