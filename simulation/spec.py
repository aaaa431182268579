"""What a synthetic world is asked to be (WorldSpec), and what came of it (WorldSummary, written as world.json)."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from headrace.errors import ConfigError

__all__ = ["TableSummary", "WorldSpec", "WorldSummary", "world_spec"]

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"found {name!r}, wanted an IANA timezone such as 'Europe/Berlin'")
    return name


class WorldSpec(BaseModel):
    """Everything that decides the bytes of a world; unknown keys are refused.

    Attributes
    ----------
    seed : int, default 7
        Another seed is another world. The same spec gives the same bytes.
    first_day : date, default 2026-01-05 (a Monday)
    days : int, default 21
    impressions_per_day : int, default 50_000
        Mean over a week; weekends have more, Tuesdays fewer.
    users, items, authors, categories : int, default 5_000, 3_000, 300, 12
        Over the whole of the world; `new_user_share` and `new_item_share` of them appear while it runs.
    request_size : int, default 8
        Items shown per request, none twice.
    timezone : IANA name, default "UTC"
        Sets the landing day and the daily rhythm.
    late_share, duplicate_share, malformed_share : float in [0, 1), default 0.02, 0.005, 0.001
        Share of good rows that arrive late, come again, or have a broken extra row planted beside them.
    late_days : int, default 5
        Days: no row is later than this.
    video_share : float in [0, 1), default 0.6
        Share of items that are videos; the rest are notes.
    new_user_share, new_item_share, no_profile_share : float in [0, 1), default 0.15, 0.3, 0.01
    user_edit_share, item_edit_share : float in [0, 1), default 0.002, 0.03
        Share of profiles that get a new version each day.
    file_rows : int, default 1_000_000
        Rows per landing file.
    format : "parquet", "csv" or "jsonl", default "parquet"
    id_kind : "bigint" or "string", default "bigint"
        "string" writes ids as text, such as "user-17", to be hashed at ingest (S11).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0)] = 7
    first_day: Annotated[date, Field(ge=date(2001, 1, 1), le=date(2200, 1, 1))] = date(2026, 1, 5)
    days: Annotated[int, Field(ge=1, le=10_000)] = 21
    impressions_per_day: Annotated[int, Field(ge=1, le=200_000_000)] = 50_000
    users: Count = 5_000
    items: Count = 3_000
    authors: Count = 300
    categories: Count = 12
    request_size: Annotated[int, Field(ge=1, le=100)] = 8
    timezone: Annotated[str, AfterValidator(_known_timezone)] = "UTC"
    late_share: Share = 0.02
    duplicate_share: Share = 0.005
    malformed_share: Share = 0.001
    late_days: Annotated[int, Field(ge=1, le=60)] = 5
    video_share: Share = 0.6
    new_user_share: Share = 0.15
    new_item_share: Share = 0.3
    no_profile_share: Share = 0.01
    user_edit_share: Share = 0.002
    item_edit_share: Share = 0.03
    file_rows: Count = 1_000_000
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    id_kind: Literal["bigint", "string"] = "bigint"

    @model_validator(mode="after")
    def _enough_to_show(self) -> "WorldSpec":
        old = self.items - int(self.items * self.new_item_share)
        if old < self.request_size:
            raise ValueError(
                f"found {old} items on the first day, wanted at least request_size = {self.request_size}, "
                "since a request shows no item twice"
            )
        return self


class TableSummary(BaseModel):
    """Rows of one landing table, by what they are.

    Attributes
    ----------
    rows : int
        All rows that landed: good + late + closing + duplicates + malformed.
    good, late, closing : int
        First arrivals in time, first arrivals that were late, and profile rows that set a valid_to.
    duplicates, malformed : dict of str to int
        By kind and by reason.
    beyond_last_day : dict of str to int
        Rows that would have landed after the last day, by what they are; they are not in landing/.
    rows_by_day : dict of str to int
        Landing day to rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    good: int
    late: int
    closing: int
    duplicates: dict[str, int]
    malformed: dict[str, int]
    beyond_last_day: dict[str, int]
    rows_by_day: dict[str, int]


class WorldSummary(BaseModel):
    """The spec, what landed, and what truly happened.

    Attributes
    ----------
    spec : WorldSpec
    tables : dict of str to TableSummary
    truth_rows : int
        Impressions that happened, landed or not.
    expected, realised : dict of str to float
        click, like, collect, share: mean true probability, and share of impressions where it happened;
        watch_s: seconds per impression of a video.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: WorldSpec
    tables: dict[str, TableSummary]
    truth_rows: int
    expected: dict[str, float]
    realised: dict[str, float]


def world_spec(values: Mapping[str, Any]) -> WorldSpec:
    """A WorldSpec from untyped values, as a command line has them.

    Raises
    ------
    ConfigError
        A key is unknown or a value is not what was wanted.
    """
    try:
        return WorldSpec.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "world"
        message = str(first["msg"]).removeprefix("Value error, ")
        found, _, wanted = message.partition(", wanted ")
        if not wanted:
            found, wanted = repr(first.get("input"))[:120], message
        raise ConfigError(
            f"simulate: {key}",
            found=found.removeprefix("found "),
            wanted=wanted,
            remedy="change it; docs/simulation.md lists the settings",
        ) from None
