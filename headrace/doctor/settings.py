"""What the configuration says: that it loads, its timezone, and that what it refers to is there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headrace.doctor.check import Check, fail, ok, unknown, warn
from headrace.errors import ConfigError
from headrace.secrets import is_secret, revealed, secrets_in

if TYPE_CHECKING:
    from headrace.config import Config

__all__ = ["check_config", "check_secrets", "check_timezone", "without_secrets"]

_AIRFLOW = "HEADRACE_TIMEZONE"
_SHORTEST = 6  # characters: what is shorter is no secret, and would be found in words
_FOLDERS = ("PWD", "OLDPWD")  # of the shell: named like passwords


def check_config(path: Path | None, settings: Sequence[str], loaded: "list[Config]") -> Iterator[Check]:
    """The configuration loads; it is put into `loaded`."""
    from headrace.config import load_config

    config = load_config(path, settings=settings)
    loaded.append(config)
    yield ok("configuration", f"{path or 'local.yaml, as shipped'}: root {config.root}, landing {config.landing}")


def check_timezone(config: "Config | None") -> Iterator[Check]:
    """The business timezone is known here, and it is also that of the DAGs."""
    if config is None:
        yield unknown("timezone")
        return
    zone, of_airflow = config.timezone, os.environ.get(_AIRFLOW)
    now = datetime.now(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
    if of_airflow and of_airflow != zone:
        remedy = f"set {_AIRFLOW}={zone} for Airflow, or change `timezone`: the DAGs take the day from that variable"
        yield warn("timezone", f"{zone} in the configuration, {_AIRFLOW}={of_airflow}", remedy)
    else:
        yield ok("timezone", f"{zone}, {now} there" + (f"; {_AIRFLOW} agrees" if of_airflow else ""))


def check_secrets(config: "Config | None") -> Iterator[Check]:
    """What env:NAME and file:PATH stand for is there; values are looked up and not kept."""
    if config is None:
        yield unknown("secrets")
        return
    named, webhook = secrets_in(config.spark.conf), config.alerts.webhook_env
    lost = [check for key in named for check in _looked_up(key, config.spark.conf[key])]
    yield from lost
    if not lost:
        yield ok("secrets", f"{len(named)} in spark.conf, found" if named else "none in spark.conf")
    if webhook and not os.environ.get(webhook, "").strip():
        remedy = f"set {webhook} where the jobs start, or take alerts.webhook_env out"
        yield warn("secrets", f"alerts.webhook_env: no variable {webhook}, so no alert is posted", remedy)


def _looked_up(key: str, value: str) -> Iterator[Check]:
    try:
        revealed({key: value})
    except ConfigError as error:
        yield fail("secrets", f"{error.what}: {error.found}", error.remedy)


def without_secrets(text: str, config: "Config | None") -> str:
    """The text with what the environment and the configuration hold as secrets struck out: errors of libraries repeat much."""
    values = {value for name, value in os.environ.items() if is_secret(name) and name not in _FOLDERS}
    conf = config.spark.conf if config is not None else {}
    for key in secrets_in(conf):
        with suppress(ConfigError):  # what cannot be looked up is in no text either
            values |= set(revealed({key: conf[key]}).values())
    for value in sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(value, "***")
    return text
