"""A small simulated world, its configuration, and what the receipts of a root say, by the programs of .venv."""

import json
import subprocess
from pathlib import Path

from tests.airflow.conftest import ROOT

__all__ = ["BIN", "hashes", "headrace", "make_world", "write_config"]

BIN = ROOT / ".venv" / "bin"
_FEATURES = """
tile: 1h
metrics:
  impression: {action: impression}
  click: {action: click, once: true}
defaults: {count: 0, sum: 0, rate: 0}
groups:
  user: {entity: user, windows: [1d], delay: 1h, refresh: 1h, tolerance: 1d, count: [impression, click]}
  item: {entity: item, windows: [1d], delay: 1h, refresh: 1h, tolerance: 1d, count: [impression], rate: [click]}
"""
_CONFIG = """
extends: local.yaml
landing: {landing}
root: {root}
features: features.yaml
sampling: {{negative_rate: 0.5, positive_rate: 1.0}}
gates: {{floors: [], ceilings: [], drift: [], rows: [{{name: the day has rows, at_least: {at_least}}}]}}
coverage: {{slices: [scene]}}
"""
_READ = """
import json, sys
from headrace.config import load_config
from headrace.receipts import latest_receipts
found = latest_receipts(load_config(sys.argv[1]))
print(json.dumps({f"{job} {day}": [receipt.outputs, receipt.status] for (job, day), receipt in found.items()}))
"""


def headrace(*arguments: str, patience: float = 600) -> subprocess.CompletedProcess:
    """Run the command line of .venv to its end."""
    return subprocess.run([BIN / "headrace", *arguments], capture_output=True, text=True, timeout=patience)


def make_world(folder: Path, *, days: int, first: str) -> None:
    """Landing files of a few users, and the features that are declared on them."""
    sizes = ["--days", str(days), "--impressions-per-day", "150", "--first-day", first]
    made = headrace("simulate", "--out", str(folder / "world"), *sizes)
    assert made.returncode == 0, made.stderr
    (folder / "features.yaml").write_text(_FEATURES)


def write_config(folder: Path, name: str, *, at_least: int = 1) -> Path:
    """A configuration with tables of its own, and a gate on the rows of a day."""
    path = folder / f"{name}.yaml"
    path.write_text(_CONFIG.format(landing=folder / "world" / "landing", root=folder / name, at_least=at_least))
    return path


def hashes(config: Path) -> dict[str, list]:
    """Content hashes (by table) and status of every job and day of a root."""
    read = subprocess.run([BIN / "python", "-c", _READ, config], capture_output=True, text=True, timeout=120)
    assert read.returncode == 0, read.stderr
    return json.loads(read.stdout.splitlines()[-1])
