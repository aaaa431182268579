"""The shape of conf/base.yaml. Every key here is documented there; unknown keys are refused."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from headrace.config.columns import label_facts
from headrace.config.coverage import AlertsConfig, CoverageConfig, GatesConfig
from headrace.config.groups import FeaturesConfig
from headrace.config.sampling import SamplingConfig, SplitConfig
from headrace.config.spark import SparkConfig
from headrace.config.strict import Strict
from headrace.config.training import TrainConfig
from headrace.durations import parse_duration
from headrace.errors import ConfigError

__all__ = [
    "Config",
    "ContextConfig",
    "Duration",
    "IngestConfig",
    "LabelsConfig",
    "Profile",
    "ProfilesConfig",
]

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
_PROFILE_OWN = {"user_id", "item_id", "valid_from", "valid_to", "sets_valid_to", "landed_us", "from_us", "to_us", "ds"}
ColumnType = Literal["string", "int", "bigint", "double", "timestamp"]
ColumnName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"found {name!r}, wanted an IANA timezone such as 'Europe/Berlin'")
    return name


def _plain_path(path: str) -> str:
    """Readers of Delta tables take some characters for escapes or patterns, and fail late. An address holds no password."""
    if "://" in path and ":" in urlsplit(path).netloc.rpartition("@")[0]:
        raise ValueError("found a password in the address, wanted it in the environment (docs/deploy.md)")
    whole = path if "://" in path else str(Path(path).absolute())
    if not path.strip() or "~" in Path(path).parts:
        raise ValueError(f"found {path!r}, wanted a whole path; the shell alone expands ~")
    odd = re.findall(r"%[0-9A-Fa-f]{2}|[][{}^|*?\\\\#\n]" + (r"|\s" if "://" in path else ""), whole)
    if odd:
        raise ValueError(f"found {whole!r}, wanted a path without {' '.join(map(repr, dict.fromkeys(odd)))}")
    return path


def _known_country(code: str | None) -> str | None:
    import holidays

    if code is not None and code not in holidays.list_supported_countries():
        raise ValueError(f"found {code!r}, wanted an ISO 3166 code such as 'DE', or null")
    return code


class IngestConfig(Strict):
    """How landing files become conformed tables."""

    duplicate_horizon_days: Annotated[int, Field(ge=0)]
    marker: Annotated[str | None, Field(pattern=r"^[_.][A-Za-z0-9_.-]+$", exclude=True)]  # when, not what
    timestamp_units: dict[ColumnName, Literal["s", "ms", "us", "ns"]]
    optional_tables: list[Literal["user_profile", "item_profile", "engagements"]]
    text_ids: list[Literal["impression_id", "request_id", "user_id", "item_id", "author_id"]]
    actions: list[ColumnName]
    value_actions: list[ColumnName]

    @model_validator(mode="after")
    def _value_actions_are_known(self) -> "IngestConfig":
        unknown = sorted(set(self.value_actions) - set(self.actions))
        if unknown:
            raise ValueError(f"value_actions: found {unknown}, wanted some of actions")
        return self


class Profile(Strict):
    """Declared columns of one profile table."""

    columns: dict[ColumnName, ColumnType]
    tolerance: Duration

    @model_validator(mode="after")
    def _names_are_free(self) -> "Profile":
        taken = sorted(_PROFILE_OWN & set(self.columns))
        if taken:
            raise ValueError(f"columns: found {taken}, wanted names that profile tables do not use themselves")
        return self


class ProfilesConfig(Strict):
    """User and item profiles; authors are reached through the item's author_id."""

    user: Profile
    item: Profile


class LabelsConfig(Strict):
    """Label windows per action, what is made of them, and when a day is final (docs/sampling.md)."""

    windows: dict[ColumnName, Duration]
    counts: list[ColumnName]
    watch_window: Duration
    watch_cap: Annotated[float, Field(gt=0)] | None
    completed_at: Annotated[float, Field(gt=0)] | None
    implies: dict[ColumnName, ColumnName]
    implied: Literal["enforce", "report"]
    positive: Annotated[list[ColumnName], Field(min_length=1)]
    grace_days: Annotated[int, Field(ge=0)]
    provisional: bool

    @model_validator(mode="after")
    def _names_agree(self) -> "LabelsConfig":
        named = {*self.implies, *self.implies.values(), *self.positive, *self.counts}
        unknown = sorted(named - set(self.windows))
        if unknown:
            raise ValueError(f"found {unknown} in implies, positive or counts, wanted actions that have a label window")
        columns = [name for name, _, _ in label_facts(self)]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(
                f"windows: found actions whose columns are {twice} a second time, wanted other action names"
            )
        zero = sorted(a for a, w in self.windows.items() if w <= timedelta(0))
        if zero or self.watch_window <= timedelta(0):
            raise ValueError(f"found an empty label window {zero or 'watch'}, wanted one above 0")
        return self

    @property
    def maturity_days(self) -> int:
        """Days after ds until its labels are final: ceil(longest window / 1 day) + grace (S26)."""
        return self.days_of(max([*self.windows.values(), self.watch_window]))

    def days_of(self, window: timedelta) -> int:
        """Days after ds until what a label window of this length holds has landed: ceil(window / 1 day) + grace (S26)."""
        return -(-window // timedelta(days=1)) + self.grace_days


class ContextConfig(Strict):
    """Impression columns that are features as they stand."""

    columns: list[Literal["position", "scene", "device", "os", "network", "city"]]


class Config(Strict):
    """One validated configuration: base.yaml, overlays and --set, with the feature groups resolved."""

    root: Annotated[str, AfterValidator(_plain_path)]
    landing: Annotated[str, AfterValidator(_plain_path)]
    features: FeaturesConfig
    timezone: Annotated[str, AfterValidator(_known_timezone)]
    country: Annotated[str | None, AfterValidator(_known_country)]
    start_ds: date | None
    ingest: IngestConfig
    profiles: ProfilesConfig
    labels: LabelsConfig
    sampling: SamplingConfig
    split: SplitConfig | None
    context: ContextConfig
    coverage: CoverageConfig
    gates: GatesConfig
    alerts: AlertsConfig
    train: TrainConfig
    spark: SparkConfig
    _settings: dict[str, Any] = PrivateAttr(default_factory=dict)
    _whole: "Config | None" = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _parts_agree(self) -> "Config":
        from headrace.config.agree import check_agreement

        check_agreement(self)
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The values that it was made from, as plain data: files and --set merged. Empty where it was made otherwise."""
        return self._settings

    @property
    def group(self) -> str | None:
        """The one group that it is narrowed to; None for a whole configuration."""
        return next(iter(self.features.groups)) if self._whole is not None else None

    @property
    def whole(self) -> "Config":
        """The configuration with all groups."""
        return self._whole or self

    def for_group(self, name: str) -> "Config":
        """The same with one feature group alone.

        Raises
        ------
        ConfigError
            There is no such group.
        """
        if name not in self.features.groups:
            raise ConfigError(
                f"--group {name}",
                found="no such group",
                wanted=f"one of {', '.join(self.features.groups)}",
                remedy="headrace features groups lists them",
            )
        only = self.features.model_copy(update={"groups": {name: self.features.groups[name]}})
        narrow = self.model_copy(update={"features": only})
        narrow._whole = self.whole
        return narrow

    def digest_of(self, *parts: str) -> str:
        """Hash of the named parts, so that a job is rebuilt only when what it uses changed."""
        import hashlib
        import json

        chosen: dict[str, Any] = self.model_dump(mode="json", include=set(parts))
        # Mappings in their order: that of groups and columns is the order of columns and of `feature_states`.
        return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]
