"""The benchmark harness: contenders in turn, honest measuring, results that say what was found."""

import sys
import textwrap
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from benchmarks.harness import Asked, alone, arguments, available, contender_command, run_rounds
from benchmarks.ingest import rows_of_day
from benchmarks.measure import last_json_line, measured, peak_heap_mb
from benchmarks.record import Target, finish, ratios, record, targets_met
from benchmarks.results import bench as write_results
from benchmarks.results import markdown
from headrace.errors import ConfigError, InputError


def test_the_peak_of_the_tree_includes_a_child_process(tmp_path: Path) -> None:
    child = "import time; held = bytearray(120_000_000); time.sleep(0.6)"
    run = measured([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"])
    assert run.code == 0 and run.peak_rss_mb > 120


def test_a_process_past_its_limit_is_killed() -> None:
    run = measured([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.3)
    assert run.code == -9


def test_the_peak_heap_is_the_largest_before_a_collection_in_any_unit() -> None:
    log = """
    [0.9s][info][gc] Using G1
    [1.2s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 23M->5M(248M) 3.1ms
    [2.0s][info][gc] GC(1) Pause Full (G1 Compaction Pause) 1G->900M(1G) 80.0ms
    [2.5s][info][gc] GC(2) Pause Young (Normal) 2048K->512K(8192K) 0.4ms
    """
    assert peak_heap_mb(log.splitlines()) == 1024.0


def test_a_log_without_collections_has_no_peak_heap() -> None:
    assert peak_heap_mb(["[0.9s][info][gc] Using Serial"]) is None


def test_the_last_json_line_is_found_among_chatter() -> None:
    assert last_json_line('warming up\n{"inner_s": 1}\n{"inner_s": 2}\nbye {not json}\n{broken') == {"inner_s": 2}


def _contender(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Every contender becomes this program; `name` is its name and `out` its result folder."""

    def command(contender: str, *, world: Path, out: Path) -> list[str]:
        return [sys.executable, "-c", f"name, out = {contender!r}, {str(out)!r}\n{textwrap.dedent(code)}"]

    monkeypatch.setattr("benchmarks.harness.contender_command", command)


def test_contenders_take_turns_and_the_order_turns_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    _contender(monkeypatch, f"open({str(log)!r}, 'a').write(name)\nprint('{{\"inner_s\": 0.5}}')")
    run_rounds(["a", "b"], rounds=3, world=tmp_path, out=tmp_path)
    assert log.read_text() == "abbaab"


def test_the_summary_is_the_median_of_what_the_contender_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = f"""
        import json, pathlib
        counter = pathlib.Path({str(tmp_path / "n")!r})
        n = int(counter.read_text()) if counter.exists() else 0
        counter.write_text(str(n + 1))
        print(json.dumps({{"inner_s": [9.0, 2.0, 4.0][n], "phases": {{"round": n}}}}))
    """
    _contender(monkeypatch, code)
    found = run_rounds(["a"], rounds=3, world=tmp_path, out=tmp_path)["a"]
    assert (found["seconds"], found["median"], found["min"], found["max"]) == ([9.0, 2.0, 4.0], 4.0, 2.0, 9.0)
    assert found["phases"] == {"round": 2} and len(found["wall"]["seconds"]) == 3


def test_a_contender_that_fails_is_named_with_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _contender(monkeypatch, "raise SystemExit('out of luck')")
    with pytest.raises(InputError, match=r"contender a\b[\s\S]*exit 1[\s\S]*out of luck"):
        run_rounds(["a"], rounds=1, world=tmp_path, out=tmp_path)


def test_a_formulation_is_passed_on_and_has_an_output_of_its_own(tmp_path: Path) -> None:
    command = contender_command("duckdb:asof", world=tmp_path, out=tmp_path)
    assert command[2:] == [
        "benchmarks.contenders.duckdb", "--in", str(tmp_path), "--out", str(tmp_path / "duckdb-asof"), "--how", "asof",
    ]  # fmt: skip


def test_a_contender_whose_module_is_missing_is_not_available() -> None:
    assert (available("duckdb"), available("duckdb:asof"), available("no_such_engine")) == (True, True, False)


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["--contenders", "duckdb,rumour"], "rumour"),
        (["--contenders", "duckdb,duckdb"], "duckdb"),
        (["--scale", "full", "--rounds", "2"], "at least 3"),
        (["--rounds", "0"], "at least 1"),
    ],
)
def test_arguments_that_would_mislead_are_refused(argv: list[str], found: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=found):
        arguments("x", contenders=lambda scale: ["duckdb"], known=["duckdb"], argv=[*argv, "--work", str(tmp_path)])


def _measured(median: float) -> dict:
    spread = {"seconds": [median], "median": median, "min": median, "max": median}
    return {**spread, "wall": spread, "peak_rss_mb": 100.0, "phases": {}, "facts": {}}


def test_a_ratio_is_given_only_where_both_ran() -> None:
    ran = {"ours": _measured(3.0), "theirs": _measured(2.0)}
    assert ratios(ran, [("ours", "theirs"), ("ours", "absent")]) == {"ours / theirs": 1.5}


def test_a_target_not_measured_is_not_called_met() -> None:
    targets = [Target("a", limit=2.5), Target("b", limit=1.0), Target("c", limit=4.0, at_least=True)]
    met = targets_met({"a": 2.5, "c": 3.9}, targets)
    assert {name: target["met"] for name, target in met.items()} == {"a": True, "c": False}


def test_a_result_goes_from_record_through_json_into_the_page(tmp_path: Path) -> None:
    asked = Asked("small", tmp_path / "result.json", 3, tmp_path, ["ours"])
    made = record(
        "ingest",
        asked,
        contenders={"ours": _measured(3.0)},
        ratios={"ours / theirs": 1.5},
        targets=[Target("ours / theirs", limit=1.2)],
        checks={"same rows": False},
        work={"rows": 1000},
    )
    finish(made, asked.out)
    write_results([str(asked.out), "--to", str(tmp_path / "RESULTS.md")])
    page = (tmp_path / "RESULTS.md").read_text()
    lines = (
        "| ours | 3.00 | 3.00 | 3.00 | 3.00 | 100 |",
        "| ours / theirs | 1.5 | 1.2 | **no** |",
        "| same rows | **no** |",
    )
    assert all(line in page for line in (*lines, "rows 1,000", f"duckdb {duckdb.__version__}"))


def test_the_page_does_not_depend_on_the_order_of_the_files(tmp_path: Path) -> None:
    asked = Asked("small", None, 1, tmp_path, [])
    both = [record(name, asked, contenders={}, ratios={}) for name in ("b", "a")]
    assert markdown(both) == markdown(both[::-1])


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="no name"):
        write_results([str(tmp_path / "x.json"), "--to", str(tmp_path / "RESULTS.md")])


def test_rows_of_a_day_come_from_the_delta_log(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    table = pa.table({"impression_id": [1, 2, 3], "ds": ["2026-05-01", "2026-05-02", "2026-05-02"]})
    write_deltalake(str(tmp_path / "impressions"), table, partition_by=["ds"])
    assert rows_of_day(tmp_path, ds="2026-05-02") == 2


def test_a_second_benchmark_in_the_same_work_folder_is_refused(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(InputError, match="another benchmark"), alone(tmp_path):
        pass


def test_the_work_folder_is_free_again_after_a_benchmark(tmp_path: Path) -> None:
    with alone(tmp_path):
        pass
    with alone(tmp_path):
        assert (tmp_path / ".lock").exists()
