"""The package: its bytes, what is found in it and from where."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from headrace.session import delta_package
from scripts.package import _left_out, build, locked
from tests.packaged import Package, packaged

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Built once."""
    return packaged(tmp_path_factory.mktemp("package"))


def test_the_same_sources_give_the_same_bytes(package, tmp_path):
    again = build(tmp_path)
    assert [path.name for path in again] == [path.name for path in package.built]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in package.built]


def test_the_archive_holds_every_file_of_every_package(package):
    wheel, archive = (set(zipfile.ZipFile(p).namelist()) for p in (package.built[0], package.folder / "headrace.zip"))
    assert archive == {name for name in wheel if ".dist-info/" not in name}
    for name in ("conf", "features", "headrace", "jobs", "reports", "sampling", "schemas", "trainer"):
        sources = {p for p in (ROOT / name).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert {p.relative_to(ROOT).as_posix() for p in sources} - archive == set(), name


def test_a_file_that_git_does_not_know_is_not_shipped(tmp_path):
    left_out = _left_out({ROOT / "conf" / "base.yaml"})
    assert left_out(str(ROOT / "conf"), ["base.yaml", "prod.yaml", "__pycache__"]) == {"prod.yaml", "__pycache__"}
    assert left_out(str(ROOT), ["conf"]) == set()


def test_headrace_is_found_through_the_archive_alone(package, tmp_path):
    bare = [str(package.drive), "-c", "import deltalake, headrace"]
    done = subprocess.run(bare, env={}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "No module named 'headrace'" in done.stderr
    done = package.python("import headrace; print(headrace.__file__)", cwd=tmp_path)
    assert "headrace.zip" in done.stdout, done.stderr


def test_what_tasks_import_needs_no_delta_spark(package, tmp_path):
    tasks = "build, nightly, skew, snapshots, tilefiles, tiles"  # modules whose functions Spark hands to its workers
    code = f"import sys; from features import {tasks}; import headrace.arrowsink, reports.coverage, schemas.firstpass"
    done = package.worker(f"{code}; print('delta' in sys.modules)", cwd=tmp_path)
    assert done.stdout == "False\n", done.stderr


def test_pages_are_made_from_files_in_the_archive(package, tmp_path):
    code = (
        "from reports.page_html import environment, static_text\n"
        "from trainer.report.page import _HERE\n"
        "assert static_text('base.css') and environment().get_template('report.html.j2')\n"
        "assert (_HERE / 'templates' / 'model.html.j2').is_file() and 'package' not in _HERE.parts\n"
    )
    assert package.python(code, cwd=tmp_path).returncode == 0


def test_a_configuration_anywhere_extends_those_in_the_archive(package, tmp_path):
    (tmp_path / "my.yaml").write_text("extends: prod.yaml\nroot: tables\nlanding: landing\n", encoding="utf-8")
    code = "import sys; from headrace.config import load_config; print(load_config(sys.argv[1]).root)"
    done = package.python(code, str(tmp_path / "my.yaml"), cwd=tmp_path)
    assert done.stdout.strip() == str(tmp_path / "tables"), done.stderr


@pytest.mark.parametrize("job", ["features", "nightly"])
def test_a_job_starts_where_a_cluster_copied_its_script_alone(package, tmp_path, job):
    shutil.copy(package.folder / "jobs" / f"{job}.py", tmp_path)  # YARN's and Kubernetes' cluster modes do so
    started = f"import runpy, sys; sys.argv = ['{tmp_path}/{job}.py', '--help']; sys.path[0] = '{tmp_path}'\n"
    code = (
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    import jobs.features; print(jobs.features.spine_features.__module__, end.code)\n"
    )
    done = package.python(started + code, cwd=tmp_path)
    assert "features.assemble 0" in done.stdout, done.stderr


def test_what_executors_need_is_locked_and_the_page_names_what_is_there(package):
    needed, lock = (
        locked((package.folder / n).read_text()) for n in ("requirements-executors.txt", "requirements.lock")
    )
    assert needed and all(lines == lock[name] for name, lines in needed.items())
    assert not {"pyspark", "torch", "great-expectations"} & set(needed)
    page = (package.folder / "SUBMIT.md").read_text(encoding="utf-8")
    assert delta_package() in page and "{" not in page
    for name in re.findall(r"(?:jobs|conf)/\w+\.(?:py|yaml)", page):
        assert (package.folder / name).is_file() or name == "conf/my.yaml", name
