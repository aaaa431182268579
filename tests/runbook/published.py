"""Causes after the chain: gates, days that are published or not, manifests, what readers and the trainer meet."""

import json
from pathlib import Path

from headrace.manifest import read_manifest
from headrace.published import read_published
from headrace.publishing import publish_receipts
from headrace.receipts import Receipt, write_receipts
from sampling.assemble import check_rates
from sampling.downsample import RateRow
from tests.conftest import LAST
from tests.runbook.night import DAY, Night, built

_REPORTS = "gates.floors=[{name: ages are there, feature: user_age, at_least: 0.2}]"
_CHAIN = ("ingest", "tiles", "labels", "sample", "features", "coverage")


def gates_refused(night: Night) -> None:
    assert night.finished is not None
    night.headrace("publish", "--ds", LAST, "--rebuild", over=night.finished, settings=(_REPORTS,))


def sampling_refused(night: Night) -> None:
    rate = RateRow("all", "all", 100, 90, 0.5, 0.9, 0.82, 0.95, 1e-17, DAY)
    check_rates([rate], {DAY: Receipt("sample", DAY)})


def gates_not_counted(night: Night) -> None:
    night.headrace("gates", "--ds", DAY)


def report_without_coverage(night: Night) -> None:
    night.headrace("report", "--ds", DAY, "--out", night.folder / "report.html")


def unpublish_of_an_unpublished_day(night: Night) -> None:
    built(night.config(), "publish", status="published")
    night.headrace("unpublish", "--ds", DAY, "--reason", "clicks logged twice")
    night.headrace("unpublish", "--ds", DAY, "--reason", "clicks logged twice")


def manifest_of_an_unpublished_day(night: Night) -> None:
    night.headrace("manifest", "--ds", DAY)


def _manifest(night: Night) -> Path:
    """That of a day published without gates, saved."""
    config = night.config("gates.rows=[]")
    night.built(*_CHAIN, settings=("gates.rows=[]",))
    night.patch.setattr("headrace.publishing.gate_day", lambda *_, **__: _Passed)
    write_receipts(config, publish_receipts(config, days=[DAY]).values())
    return night.write("manifest.json", json.dumps(read_manifest(config, DAY)))


class _Passed:
    """A verdict of no rules."""

    rules, critical, warnings = (), (), ()


def manifest_damaged(night: Night) -> None:
    file = _manifest(night)
    file.write_text(file.read_text().replace('"negative_rate": 0.5', '"negative_rate": 0.6'))
    night.plain("rebuild", file, "--landing", night.folder / "landing", "--root", night.folder / "elsewhere")


def root_not_empty(night: Night) -> None:
    root = night.config().root
    night.plain("rebuild", _manifest(night), "--landing", night.folder / "landing", "--root", root)


def rebuild_differs(night: Night) -> None:
    file = _manifest(night)
    other = json.loads(file.read_text())
    other["history"]["ingest"][str(DAY)]["engagements"] = "1-2-3-4"
    night.patch.setattr("headrace.rebuilding.run_chain", lambda *_, **__: None)
    night.patch.setattr("headrace.rebuilding.read_manifest", lambda *_: other)
    night.plain("rebuild", file, "--landing", night.folder / "landing", "--root", night.folder / "elsewhere")


def verify_of_nothing(night: Night) -> None:
    night.headrace("verify", "--ds", DAY)


def bytes_differ(night: Night) -> None:
    write_receipts(night.config(), [Receipt("labels", DAY, outputs={"labels": "3-a-b-c"})])
    night.headrace("verify", "--ds", DAY)


def _published(night: Night) -> str:
    """A root made by hand with one published day of few rows, as the trainer reads it."""
    from tests.trainer.world import world

    return world(night.folder / "tables", days=1, rows=200)[0]


def day_not_published(night: Night) -> None:
    _published(night)
    night.headrace("train", "--ds", LAST, "--days", 1, "--out", night.folder / "model")


def receipts_not_there(night: Night) -> None:
    night.headrace("train", "--ds", DAY, "--days", 1, "--out", night.folder / "model")


def pinned_version_gone(night: Night) -> None:
    write_receipts(night.config(), [Receipt("publish", DAY, status="published", versions={"training_set": "3"})])
    read_published(night.config().root, days=[DAY])


def model_unreadable(night: Night) -> None:
    _published(night)
    night.headrace("evaluate", night.folder / "model", "--ds", DAY)


def model_of_other_features(night: Night) -> None:
    from tests.trainer.world import CONFIG, FEATURES, publish
    from trainer.train import train

    root = _published(night)
    config = CONFIG.model_copy(update={"epochs": 1})
    train(root, days=[DAY], valid_day=None, config=config, out=night.folder / "model")
    changed = [{**feature, "unit": "h"} if feature["unit"] == "s" else feature for feature in FEATURES]
    publish(Path(root), DAY, version=0, revision=2, features=changed)
    night.headrace("evaluate", night.folder / "model", "--ds", DAY)
