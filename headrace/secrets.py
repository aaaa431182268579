"""Secrets of the session: looked up in the environment or a file when Spark starts, and held nowhere else.

The configuration, and with it logs, receipts, manifests and pages, knows only where a secret is to be found.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from headrace.errors import ConfigError

__all__ = ["is_reference", "is_secret", "revealed", "secrets_in"]

_SECRET = re.compile(
    r"secret|passw|pwd|token|credential|connection[._-]?string"
    r"|(access|account|private|sas|storage|encryption|api)[._-]?key",
    re.IGNORECASE,
)
# How a secret is got, not the thing: told by the end of the name, or by what Spark, Hadoop and Azure call it.
_PUBLIC = re.compile(
    r"(provider|impl|enabled|file|path|url|uri|interval|timeout|endpoint|type)$"
    r"|\.provider\.type\.|\.client\.endpoint\.|^spark\.kubernetes\.(driver|executor)\.secret",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"env:[^\s=]+")


def is_secret(key: str) -> bool:
    """Whether a setting of this name holds a secret."""
    return bool(_SECRET.search(key)) and not _PUBLIC.search(key)


def is_reference(key: str, value: str) -> bool:
    """Whether a value says where to look: env:NAME, or of a secret file:/PATH (of others that is a URI)."""
    return bool(_VARIABLE.fullmatch(value)) or (is_secret(key) and value.startswith("file:/") and value[6:7] != "/")


def revealed(conf: Mapping[str, str]) -> dict[str, str]:
    """Settings with what env:NAME and file:PATH stand for.

    Raises
    ------
    ConfigError
        The variable is not set, or the file cannot be read; the message never holds a value.
    """
    return {key: _looked_up(key, value) if is_reference(key, value) else value for key, value in conf.items()}


def secrets_in(conf: Mapping[str, str]) -> list[str]:
    """Names of the settings that are secrets, or come from the environment as such do."""
    return [key for key, value in conf.items() if is_secret(key) or is_reference(key, value)]


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
