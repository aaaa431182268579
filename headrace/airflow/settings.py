"""Every setting of the DAGs: an environment variable with a default, read in one place.

Reading never fails, so that a wrong value cannot hide the DAGs: the default stands in, and the first task that runs
fails with all that is wrong (`checked`).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException

__all__ = ["SETTINGS", "Setting", "Settings", "checked", "settings"]

_FOUND = Path(__file__).resolve().parents[2]
_CODE = _FOUND.parent if _FOUND.suffix == ".zip" else _FOUND  # a bundle, whose packages lie in headrace.zip


@dataclass(frozen=True)
class Setting:
    """One environment variable.

    Attributes
    ----------
    name : str
        The variable, without HEADRACE_.
    default : str
        Taken where the variable is absent, empty or wrong; `<home>` and `<airflow>` stand for those folders.
    wanted : str
        What a right value is, for the message about a wrong one.
    check : callable
        Raises ValueError for a wrong value; looks at the text alone, never at a disk or a network.
    meaning : str
        One sentence for the documentation.
    """

    name: str
    default: str
    wanted: str
    check: Callable[[str], object]
    meaning: str


def _whole(least: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        if int(text) < least:
            raise ValueError(text)

    return check


def _hours(text: str) -> float:
    if not 0 < float(text) < 100_000:
        raise ValueError(text)
    return float(text)


def _address(text: str) -> None:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc):
        raise ValueError(text)


def _cron(text: str) -> None:
    try:
        CronDataIntervalTimetable(text, timezone="UTC").validate()
    except AirflowException as error:
        raise ValueError(str(error)) from error


def _zone(text: str) -> None:
    try:
        ZoneInfo(text)
    except (OSError, KeyError) as error:
        raise ValueError(str(error)) from error


def _log(text: str) -> None:
    if text not in ("", "text", "json"):
        raise ValueError(text)


_ANY, _COUNT, _HOURS, _URL = "a path", "a whole number from 1", "a number of hours above 0", "an http(s) address"
SETTINGS = (
    Setting("HOME", str(_CODE), _ANY, str, "Folder of the bundle: holds jobs/ and conf/."),
    Setting("BIN", "<home>/.venv/bin", _ANY, str, "Folder with `headrace`, `spark-submit` and their `python`."),
    Setting("CONFIG", "<home>/conf/local.yaml", _ANY, str, "Configuration file of every step."),
    Setting("REPORTS", "<airflow>/headrace/reports", _ANY, str, "Folder of the coverage pages, one file a day."),
    Setting("REPORTS_URL", "", _URL, _address, "Where that folder is served; empty: no link on the tasks."),
    Setting("REPORT_DAYS", "30", _COUNT, _whole(1), "Days that a coverage page shows."),
    Setting("MODELS", "<airflow>/headrace/models", _ANY, str, "Folder of the models, one folder a day."),
    Setting("CRON", "0 3 * * *", "a cron expression", _cron, "When a night starts, in the business timezone."),
    Setting(
        "TIMEZONE", "UTC", "a timezone such as Europe/Berlin", _zone, "Business timezone: as in the configuration."
    ),
    Setting("START", "2024-01-01", "a day, YYYY-MM-DD", date.fromisoformat, "First day that may be built (backfills)."),
    Setting("ACTIVE_DAYS", "16", _COUNT, _whole(1), "Runs open at once: more than labels take days to mature."),
    Setting("POLL_S", "300", _COUNT, _whole(1), "Seconds between two looks at landing."),
    Setting("LANDED_HOURS", "24", _HOURS, _hours, "Longest wait for the day's files."),
    Setting("MATURE_HOURS", "240", _HOURS, _hours, "Longest wait for mature labels, after the day's own tables."),
    Setting("STEP_HOURS", "6", _HOURS, _hours, "Longest run of one step; then it is killed and tried again."),
    Setting("RETRIES", "3", "a whole number from 0", _whole(0), "Tries after a first that ended with exit code 1."),
    Setting("RETRY_S", "60", _COUNT, _whole(1), "Wait before the first of them; it doubles, up to an hour."),
    Setting("SPARK_CONNECTION", "spark_default", "an id", str, "Airflow connection that names the Spark master."),
    Setting("SPARK_MEMORY", "2g", "memory such as 4g", str, "Heap of the driver."),
    Setting(
        "SPARK_PACKAGES",
        "io.delta:delta-spark_4.1_2.13:4.4.0",
        "coordinates, or none",
        str,
        "Jars for spark-submit; `none`: they lie in Spark's jars/.",
    ),
    Setting("SPARK_PROPERTIES", "", _ANY, str, "File for `spark-submit --properties-file`; empty: none."),
    Setting("FAILURE_URL", "", _URL, _address, "A failed task is posted there as JSON; empty: nowhere."),
    Setting("LOG", "", "text or json", _log, "Form of the jobs' own log lines; empty: as the job pleases."),
)


@dataclass(frozen=True)
class Settings:
    """The values of SETTINGS; `problems` says what is wrong with the environment, one text a variable."""

    values: Mapping[str, str]
    problems: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """Value of HEADRACE_<name>."""
        return self.values[name]

    def path(self, name: str) -> Path:
        """Value of HEADRACE_<name> as a path."""
        return Path(self.values[name])

    def number(self, name: str) -> float:
        """Value of HEADRACE_<name> as a number."""
        return float(self.values[name])

    def count(self, name: str) -> int:
        """Value of HEADRACE_<name> as a whole number."""
        return int(self.values[name])


def settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment; a wrong value becomes the default and a problem."""
    given = os.environ if environ is None else environ
    folders = {"<airflow>": given.get("AIRFLOW_HOME") or str(Path("~/airflow").expanduser())}
    values, problems = {}, []
    for one in SETTINGS:
        default = _filled(one.default, folders)
        value = given.get(f"HEADRACE_{one.name}") or default
        try:
            one.check(value)
        except ValueError:
            shown = "something else" if one.wanted == _URL else repr(value)  # an address may hold a secret
            problems.append(f"HEADRACE_{one.name}: found {shown}, wanted {one.wanted}")
            value = default
        values[one.name] = value
        folders.setdefault("<home>", value)  # HOME is the first
    return Settings(values, tuple(problems))


def _filled(text: str, folders: Mapping[str, str]) -> str:
    for name, folder in folders.items():
        text = text.replace(name, folder)
    return text


def checked(needed: Iterable[str] = ("headrace",)) -> Settings:
    """The settings, held against this machine.

    Parameters
    ----------
    needed : programs that must stand in HEADRACE_BIN

    Raises
    ------
    AirflowFailException
        A value is wrong, or a file is missing: trying again cannot help.
    """
    found = settings()
    wrong = list(found.problems)
    wanted = {"HEADRACE_HOME": found.path("HOME") / "jobs", "HEADRACE_CONFIG": found.path("CONFIG")}
    wanted |= {f"HEADRACE_BIN ({name})": found.path("BIN") / name for name in needed}
    if found.text("SPARK_PROPERTIES"):
        wanted["HEADRACE_SPARK_PROPERTIES"] = found.path("SPARK_PROPERTIES")
    wrong += [f"{name}: found nothing at {path}" for name, path in wanted.items() if not path.exists()]
    if wrong:
        said = "\n".join(f"  found:  {one}" for one in wrong)
        raise AirflowFailException(
            f"the environment of this Airflow worker is wrong\n{said}\n"
            "  wanted: the variables of docs/airflow.md\n  do:     set them for all components and start them again"
        )
    return found
