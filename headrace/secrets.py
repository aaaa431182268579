"""Secrets of the session: looked up in the environment or a file when Spark starts, and held nowhere else.

The configuration, and with it logs, receipts, manifests and pages, knows only where a secret is to be found.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from headrace.errors import ConfigError

__all__ = ["is_reference", "is_secret", "revealed"]

_SECRET = re.compile(
    r"secret|password|passwd|token|credential|access[._-]?key|account[._-]?key|private[._-]?key|sas[._-]?key", re.I
)
_PUBLIC = re.compile(
    r"provider|\.impl$|enabled|file$|path$|url$|uri$|renewal|interval|timeout", re.I
)  # how to get one, not the thing


def is_secret(key: str) -> bool:
    """Whether a setting of this name holds a secret."""
    return bool(_SECRET.search(key)) and not _PUBLIC.search(key)


def is_reference(key: str, value: str) -> bool:
    """Whether a value says where to look: env:NAME, or of a secret file:/PATH (of others that is a URI)."""
    return value.startswith("env:") or (is_secret(key) and value.startswith("file:/") and value[6:7] != "/")


def revealed(conf: Mapping[str, str]) -> dict[str, str]:
    """Settings with what env:NAME and file:PATH stand for.

    Raises
    ------
    ConfigError
        The variable is not set, or the file cannot be read; the message never holds a value.
    """
    return {key: _looked_up(key, value) if is_reference(key, value) else value for key, value in conf.items()}


def _looked_up(key: str, reference: str) -> str:
    kind, _, where = reference.partition(":")
    try:
        value = os.environ[where] if kind == "env" else Path(where).read_text(encoding="utf-8").strip()
    except (KeyError, OSError, UnicodeDecodeError) as error:
        found = f"no variable {where}" if kind == "env" else f"{where}: {type(error).__name__}"
        raise ConfigError(
            f"spark.conf.{key}", found=found, wanted=f"the value at {reference}", remedy="set it where the job starts"
        ) from None
    if not value:
        raise ConfigError(
            f"spark.conf.{key}", found=f"nothing at {reference}", wanted="a value", remedy="set it where the job starts"
        )
    return value
