"""Jars of a local session: resolved by their Maven coordinates once, taken by their names from then on.

A session that is given coordinates resolves them at every start, copies every jar, and puts all of them on the path of its
Python workers, which then read their directories at every import (SPARK-54744).
"""

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyspark

__all__ = ["defaults_name_jars", "jars_of", "keep_jars"]


def jars_of(coordinates: str) -> list[str] | None:
    """The jars that these coordinates were resolved to before; None where one is gone, or was changed, or none is known."""
    try:
        sizes = json.loads(_kept().read_text(encoding="utf-8"))[coordinates]
        same = all(Path(path).stat().st_size == size for path, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return list(sizes) if same and sizes else None


def keep_jars(coordinates: str, uris: Sequence[str]) -> None:
    """Write down what a session resolved them to; where that cannot be, the next one resolves them again."""
    paths = [Path(unquote(urlparse(uri).path)) for uri in uris]
    if not all(path.is_file() for path in paths):  # a session that was there already may name none
        return
    kept = _kept()
    with suppress(OSError):
        known = _known(kept) | {coordinates: {str(path): path.stat().st_size for path in paths}}
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=kept.parent, suffix=".json", delete=False, encoding="utf-8"
        ) as partial:
            partial.write(json.dumps(known, indent=1))
        Path(partial.name).replace(kept)


def defaults_name_jars() -> bool:
    """Whether spark-defaults.conf, which Spark reads on its own, says anything of jars."""
    home = os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent
    folder = Path(os.environ.get("SPARK_CONF_DIR") or Path(home) / "conf")
    try:
        lines = (folder / "spark-defaults.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().startswith("spark.jars") for line in lines)


def _known(kept: Path) -> dict[str, dict[str, int]]:
    try:
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _kept() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headrace" / "jars.json"
