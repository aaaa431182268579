"""Manifests: everything that a published day was made of, as JSON with a hash of its own; and building it again elsewhere.

The hash covers what makes the rows: day, code version, configuration, contents of the conformed inputs and of what was
made of them. Paths, Delta versions, revisions and times are kept beside it, since another root has others.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyarrow import fs

from headrace import __version__
from headrace.config import Config
from headrace.delta import file_system
from headrace.errors import InputError
from headrace.receipts import WITHDRAWN, Receipt, decided

__all__ = [
    "differences",
    "load_manifest",
    "manifest_config",
    "manifest_of",
    "read_manifest",
    "store_manifest",
    "verify_manifest",
]

FORMAT = 1
# parts of a configuration that say where, how fast and who is told, not what
_PLACES = ("root", "landing", "spark", "train", "alerts")
_DAY_JOBS = ("labels", "sample", "features", "coverage")
_HISTORY_JOBS = ("ingest", "tiles")
_LIBRARIES = ("pyspark", "delta-spark", "deltalake", "pyarrow", "numpy", "pandas", "holidays", "tzdata")


def manifest_of(config: Config, day: date, *, receipts: Mapping[tuple[str, date], Receipt]) -> dict[str, Any]:
    """The manifest of a day whose steps before publish are done.

    Parameters
    ----------
    receipts : the latest of every job and day, e.g. `latest_receipts(config)`
    """
    mature = day + timedelta(days=config.labels.maturity_days)
    last = {"ingest": mature, "tiles": day + timedelta(days=1)}
    start = config.start_ds or date.min
    history = {
        job: {
            str(d): dict(sorted(r.outputs.items()))
            for (j, d), r in sorted(receipts.items())
            if j == job and start <= d <= last[job]
        }
        for job in _HISTORY_JOBS
    }
    own = {job: receipts[job, day] for job in _DAY_JOBS}
    what = {
        "format": FORMAT,
        "ds": str(day),
        "headrace": __version__,
        "config": {k: v for k, v in config.settings.items() if k not in _PLACES},
        "history": history,
        "outputs": {job: dict(sorted(r.outputs.items())) for job, r in own.items()},
        "rows": {job: r.rows_out for job, r in own.items()},
    }
    made = {
        "places": {k: v for k, v in config.settings.items() if k in _PLACES},
        "versions": {job: r.versions for job, r in own.items()},
        "revisions": {job: r.revision for job, r in own.items()},
        "built_at": {job: r.ended_at.isoformat() for job, r in own.items()},
        "software": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    }
    return {**what, "hash": _hash(what), "made": made}


def _hash(what: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(what).encode()).hexdigest()


def _text(what: Mapping[str, Any]) -> str:
    return json.dumps(
        what, default=str
    )  # in the order as it is: the order of groups and columns is part of what is built


def store_manifest(config: Config, manifest: Mapping[str, Any]) -> str:
    """Keep a manifest under the root, named by its hash, before the receipt that names it; returns the hash."""
    system, base = file_system(config.root)
    folder = f"{base}/manifests/ds={manifest['ds']}"
    system.create_dir(folder, recursive=True)
    with system.open_output_stream(f"{folder}/{manifest['hash']}.json") as out:
        out.write(_text(manifest).encode())
    return str(manifest["hash"])


def read_manifest(config: Config, day: date) -> dict[str, Any]:
    """The manifest of a published day.

    Raises
    ------
    InputError
        The day is not published, or its manifest is gone or damaged.
    """
    receipt = decided(config, "publish").get(day)
    if receipt is None or receipt.status != "published" or "manifest" not in receipt.notes:
        found = "no publish receipt" if receipt is None else f"status {receipt.status}"
        command = "publish" if receipt is not None and receipt.status == WITHDRAWN else "run"
        remedy = (
            f"headrace {command} --ds {day} with its configuration publishes it; headrace status shows what is there"
        )
        raise InputError(f"manifest of {day}", found=found, wanted="a published day", remedy=remedy)
    system, base = file_system(config.root)
    return _parsed(system, f"{base}/manifests/ds={day}/{receipt.notes['manifest']}.json")


def verify_manifest(config: Config, day: date) -> None:
    """Raise InputError where a published day's manifest is gone or is not what its hash says."""
    receipt = decided(config, "publish").get(day)
    if receipt is not None and receipt.status == "published":
        read_manifest(config, day)


def load_manifest(path: Path) -> dict[str, Any]:
    """A manifest that was saved; raises InputError as `read_manifest`."""
    return _parsed(fs.LocalFileSystem(), str(path.absolute()))


def _parsed(system: fs.FileSystem, path: str) -> dict[str, Any]:
    wanted, remedy = "a manifest as headrace wrote it", "save it again: headrace manifest --ds DAY --out FILE"
    try:
        with system.open_input_file(path) as source:
            manifest = json.loads(source.read())
        if not isinstance(manifest, dict):
            raise ValueError(f"a {type(manifest).__name__}")
        own = {key: value for key, value in manifest.items() if key not in ("hash", "made")}
        if not isinstance(manifest["made"]["places"], dict):
            raise ValueError("no places")
        if manifest["format"] != FORMAT or manifest["hash"] != _hash(own):
            raise ValueError(f"format {manifest['format']}, or content that is not what its hash says")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(path, found=found, wanted=wanted, remedy=remedy) from None
    return dict(manifest)


def manifest_config(manifest: Mapping[str, Any], *, root: str, landing: str) -> Config:
    """The configuration of a manifest, for another root and landing."""
    from headrace.config.load import config_from

    places = {**manifest["made"]["places"], "root": root, "landing": landing}
    return config_from({**manifest["config"], **places}, origin=f"manifest {manifest['hash'][:12]}")


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What the second of two manifests holds otherwise, as `history.ingest.2024-05-01.impressions`."""
    left, right = (
        dict(_leaves({k: m[k] for k in ("headrace", "history", "outputs", "rows")})) for m in (wanted, found)
    )
    return sorted(key for key in {*left, *right} if left.get(key) != right.get(key))


def _leaves(tree: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        found += _leaves(value, here) if isinstance(value, Mapping) else [(here, value)]
    return found
