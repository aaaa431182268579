"""The benchmarks of loader and trainer at tiny scale: their worlds, what is compared, and the kills."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import loader, trainer
from benchmarks.contenders import loader_common, trainer_common
from benchmarks.contenders.common import Job, fresh
from benchmarks.contenders.loader_quality import labels_by_key, quality, run_lengths
from benchmarks.contenders.loader_resume import Tally, whole_records
from benchmarks.harness import output_folder, run_once
from benchmarks.trainworlds import (
    DENSE,
    IDS,
    KEY,
    LABELS,
    LOADER_WORLDS,
    TRAIN_WORLDS,
    TRUTHS,
    VOCABULARIES,
    loader_world,
    train_world,
)
from trainer.metrics import auc

torch = pytest.importorskip("torch")
ROWS = LOADER_WORLDS["tiny"].rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loader_world(tmp_path_factory.mktemp("loader"), "tiny")


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_world(tmp_path_factory.mktemp("trainer"), "tiny")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a contender in this process, which keeps its cores and threads."""

    def run(contender: str, *, world: Path, out: Path) -> dict[str, Any]:
        name, _, how = contender.partition(":")
        module = import_module(f"benchmarks.contenders.{name}")
        monkeypatch.setattr(module, "one_core", lambda: None)
        monkeypatch.setattr(module, "torch_of_one_thread", lambda: torch)
        return dict(module.build(Job(world, fresh(output_folder(out, contender)), how or "only")))

    return run


def _table(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def test_the_loaders_world_lies_in_time_order_and_its_labels_become_more_frequent(world):
    rows = _table(world / "rows")
    assert rows[KEY].to_pylist() == list(range(ROWS))
    halves = rows[LABELS[0]].to_numpy().reshape(2, -1).mean(axis=1)
    assert halves[1] > 1.5 * halves[0]
    groups = pq.read_metadata(sorted((world / "rows").glob("*"))[0]).num_row_groups
    assert (
        groups == 3
        and rows.schema.field(IDS[0]).type == pa.int64()
        and rows.schema.field(DENSE[0]).type == pa.float32()
    )


def test_ids_stay_within_their_vocabularies_and_some_are_far_more_frequent(lessons):
    rows = _table(lessons / "train")
    for name, count in zip(IDS, VOCABULARIES, strict=True):
        ids = rows[name].to_numpy()
        assert ids.min() >= 0 and ids.max() < count
        assert np.bincount(ids).max() > 3 * len(ids) / count


def test_labels_of_the_trainers_world_follow_the_true_logits_and_one_another(lessons):
    rows = _table(lessons / "test")
    for label, truth in zip(LABELS, TRUTHS, strict=True):
        logits = rows[truth].to_numpy().astype(np.float64)
        assert auc(rows[label].to_numpy(), logits) > 0.75
        assert abs((1 / (1 + np.exp(-logits))).mean() - rows[label].to_numpy().mean()) < 0.02
    logits = np.stack([rows[truth].to_numpy() for truth in TRUTHS])
    assert np.corrcoef(logits)[np.triu_indices(4, 1)].min() > 0.2
    assert not set(TRUTHS) & set(_table(lessons / "train").column_names)


def test_the_same_seed_makes_the_same_rows(world, tmp_path):
    assert _table(loader_world(tmp_path, "tiny") / "rows").equals(_table(world / "rows"))


@pytest.mark.parametrize("name", ["loader_headrace:core", "loader_headrace:ahead", "loader_pyarrow"])
def test_a_loader_gives_every_row_once_and_not_in_the_order_of_time(here, world, tmp_path, name):
    facts = here(name, world=world, out=tmp_path)
    assert facts["rows"] == ROWS and facts["largest_batch"] == loader_common.BATCH and facts["batches"] == 3
    order = np.load(output_folder(tmp_path, name) / "order.npy")
    assert sorted(order) == list(range(ROWS)) and abs(quality(order, labels_by_key(world))["correlation"]) < 0.1
    checks = loader.equality(world, {name: {"facts": facts}})
    assert list(checks.values()) == [True]
    assert not all(loader.equality(world, {name: {"facts": facts | {"id_sum": facts["id_sum"] + 1}}}).values())


def test_sums_are_the_same_of_columns_and_of_tensors_of_many_columns():
    ids, labels = torch.arange(6).reshape(3, 2), torch.tensor([[1.0], [0.0], [1.0]])
    together = {"ids": ids, "labels": labels, "dense": torch.ones(3, 2)}
    apart = {"id_0": ids[:, 0].float(), "id_1": ids[:, 1].float(), "label_0": labels[:, 0], "x_0": torch.ones(3)}
    for kind, total in (("id", 15), ("label", 2)):
        assert loader_common._sum(together, kind) == loader_common._sum(apart, kind) == total


def test_the_quality_of_an_order_is_seen_in_places_runs_and_batches():
    rows = 8 * loader_common.BATCH
    labels = np.random.default_rng(0).random(rows) < np.linspace(0.02, 0.9, rows)
    kept = quality(np.arange(rows), labels)
    mixed = quality(np.random.default_rng(4).permutation(rows), labels)
    assert kept["correlation"] == 1 and abs(mixed["correlation"]) < 0.03
    assert kept["neighbours"] < 0.001 and abs(mixed["neighbours"] - 1) < 0.02
    assert kept["batch_spread"] > 50 > 5 > mixed["batch_spread"]
    assert kept["runs"] < 0.95 < mixed["runs"] < 1.05 and kept["runs_apart"] > 2 * mixed["runs_apart"]
    assert quality(np.arange(rows)[::-1], labels)["correlation"] == -1


def test_runs_are_counted_to_the_last_row():
    assert run_lengths(np.array([1, 1, 0, 1, 0, 0, 0], dtype=bool)).tolist() == [2, 1, 1, 3]
    assert run_lengths(np.ones(4, dtype=bool)).tolist() == [4]


def test_a_record_that_was_cut_off_does_not_count(tmp_path):
    path = tmp_path / "records.bin"
    assert whole_records(path) == []
    whole = np.array([0, 2, 7, 8, 1, 1, 9], np.int64).tobytes()
    for torn in (b"", np.array([2], np.int64).tobytes(), np.array([2, 2, 5], np.int64).tobytes() + b"abc"):
        path.write_bytes(whole + torn)
        assert [(number, keys.tolist()) for number, keys in whole_records(path)] == [(0, [7, 8]), (1, [9])]


def test_rows_lost_doubled_or_in_another_order_are_counted():
    tally = Tally()
    tally.add(np.array([3, 1, 1]), wanted=np.array([3, 1, 2]))
    tally.add(np.array([1, 2]), wanted=np.array([2, 1]))
    tally.add(np.array([4]), wanted=np.array([4]))
    assert (tally.rows, tally.lost, tally.doubled, tally.equal) == (6, 1, 1, [False, False, True])


def test_after_kills_nothing_is_lost_or_doubled(world, tmp_path):
    facts = run_once("loader_resume:few", world=world, out=tmp_path)["facts"]
    assert facts["kills"] == 8 and facts["kills_by_workers"] == {"1": 2, "2": 2, "4": 2, "changing": 2}
    assert (facts["lost"], facts["doubled"], facts["equal"]) == (0, 0, True)
    assert facts["rows"] == facts["epochs"] * ROWS and facts["epochs"] >= 4


@pytest.mark.parametrize("bench", [loader, trainer])
def test_a_peer_that_is_not_installed_is_left_out_and_named(monkeypatch, bench):
    peers = {name for name in bench._PACKAGES}
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert not peers & {name.partition(":")[0] for name in bench.contenders_of("full")}
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: object())
    assert peers <= {name.partition(":")[0] for name in bench.contenders_of("full")}


@pytest.mark.parametrize("way", ["defaults", "adam"])
def test_our_trainer_learns_from_all_rows_and_is_judged_by_all(here, lessons, tmp_path, way):
    facts = here(f"trainer_headrace:{way}-1", world=lessons, out=tmp_path)
    assert (facts["rows"], facts["test_rows"]) == (TRAIN_WORLDS["tiny"].train, TRAIN_WORLDS["tiny"].test)
    assert len(facts["auc"]) == len(LABELS) and all(0 < value < 1 for value in facts["auc"])


def test_scores_are_judged_by_their_label_on_all_test_rows(lessons, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_common, "_TEST_BATCH", 700)
    truths = torch.from_numpy(np.stack([_table(lessons / "test")[name].to_numpy() for name in TRUTHS], axis=1))
    job, parts = Job(lessons, tmp_path), iter(truths.split(700))
    job.clock.start()
    job.clock.stop()
    facts = trainer_common.judged(job, lambda batch: next(parts))
    assert facts["auc"] == [round(bound, 5) for bound in trainer._bounds(lessons)] and facts["test_rows"] == len(truths)


def test_peers_get_each_input_as_a_column():
    batch = {"ids": torch.arange(40).reshape(2, 20), "dense": torch.arange(20.0).reshape(2, 10)}
    columns = trainer_common.columns_of(batch)
    assert list(columns) == [*IDS, *DENSE]
    assert columns["id_3"].tolist() == [3, 23] and columns["x_9"].tolist() == [9.0, 19.0]


def test_ours_is_set_beside_the_fastest_peer_and_for_each_label_beside_the_best():
    facts = {
        "trainer_headrace:defaults": {"rows_per_s": 40_000, "auc": [0.8, 0.7, 0.7, 0.7]},
        "trainer_rechub:fed": {"rows_per_s": 4_000, "auc": [0.81, 0.6, 0.7, 0.6]},
        "trainer_deepctr:fed": {"rows_per_s": 3_000, "auc": [0.75, 0.65, 0.7, 0.8]},
        "trainer_deepctr:own": {"rows_per_s": 5_000, "auc": [0.9, 0.9, 0.9, 0.9]},
    }
    values = trainer.compared(facts)
    assert values["rows/s, ours / the fastest peer"] == 8
    assert [values[f"AUC of {label}, ours - the best peer"] for label in LABELS] == [-0.01, 0.05, 0, -0.1]
    assert "rows/s, ours / the fastest peer" not in trainer.compared(dict(list(facts.items())[:1]))


def test_each_round_is_another_seed_aucs_are_means_and_own_loaders_run_once(monkeypatch, tmp_path):
    asked: list[str] = []
    size = TRAIN_WORLDS["tiny"]

    def said(contender: str, *, world: Path, out: Path) -> dict[str, Any]:
        asked.append(contender)
        facts = {"rows": size.train, "rows_per_s": 1, "test_rows": size.test, "auc": [0.1 * int(contender[-1])] * 4}
        return {"inner_s": 2.0, "wall_s": 1.0, "peak_rss_mb": 1.0, "peak_workers_rss_mb": 1.0, "facts": facts}

    monkeypatch.setattr(trainer, "run_once", said)
    out = tmp_path / "out.json"
    names = "trainer_headrace:defaults,trainer_rechub:fed,trainer_rechub:own"
    given = ["--scale", "tiny", "--rounds", "3", "--work", str(tmp_path), "--out", str(out), "--contenders", names]
    assert trainer.bench(given)
    seeds = {"trainer_headrace:defaults": 3, "trainer_rechub:fed": 3, "trainer_rechub:own": 1}
    assert sorted(asked) == sorted(f"{name}-{seed + 1}" for name, count in seeds.items() for seed in range(count))
    result = json.loads(out.read_text())
    assert result["ratios"]["AUC of label_0, trainer_rechub:fed"] == pytest.approx(0.2)
    assert result["ratios"]["rows/s of trainer_rechub:own"] == size.train / 2
