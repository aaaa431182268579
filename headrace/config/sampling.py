"""The shape of `sampling` and `split` in conf/base.yaml: strata, their rates or targets, and which rows are for what."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.config.conditions import Condition, parse_comparison

__all__ = ["POSITIVE", "SPLITS", "SamplingConfig", "SplitConfig", "Stratum"]

POSITIVE = "positive"  # in a stratum's `where`: 1 where any declared positive label is set
SPLITS = ("train", "validation", "test")
Probability = Annotated[float, Field(gt=0, le=1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stratum(_Strict):
    """Rows that are drawn alike: those that meet every condition and stand in no stratum before it.

    Exactly one of `rate` (a probability), `per_positive` (so many negatives for every positive kept that day) and
    `rows` (so many rows a day, as expected) says how many are kept. A stratum with `per_positive` takes negatives only.
    """

    name: Name
    where: list[Annotated[Condition, BeforeValidator(parse_comparison)]] = []
    rate: Probability | None = None
    per_positive: Annotated[float, Field(gt=0)] | None = None
    rows: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Stratum":
        given = [n for n in ("rate", "per_positive", "rows") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none'}, wanted exactly one of rate, per_positive, rows")
        return self

    @property
    def rule(self) -> str:
        """What is asked for, in words."""
        if self.per_positive is not None:
            return f"{self.per_positive:g} per positive"
        return f"rate {self.rate:g}" if self.rate is not None else f"{self.rows} rows"


class SamplingConfig(_Strict):
    """Downsampling by hash (docs/sampling.md)."""

    salt: str
    negative_rate: Probability
    positive_rate: Probability
    min_rate: Probability
    strata: list[Stratum]

    @model_validator(mode="after")
    def _names_differ(self) -> "SamplingConfig":
        names = [s.name for s in self.strata]
        taken = sorted({n for n in names if names.count(n) > 1} | ({POSITIVE, "negative"} & set(names)))
        if taken:
            raise ValueError(f"strata: found {taken}, wanted names that differ, other than positive and negative")
        return self

    @property
    def all_strata(self) -> list[Stratum]:
        """Declared strata, then positives and negatives of whatever is left, at the two plain rates."""
        rest = {POSITIVE: (1, self.positive_rate), "negative": (0, self.negative_rate)}
        plain = [Stratum(name=n, where=[Condition(POSITIVE, "=", (v,))], rate=r) for n, (v, r) in rest.items()]
        return [*self.strata, *plain]


class SplitConfig(_Strict):
    """Which rows are for training, validation and test: by time with gaps between, or by hash of the user.

    by time   first and last day (of request_ts, business timezone) of each; at least `gap_days` days lie between two
    by user   shares that sum to 1; all rows of a user, and so of a request, stand in one
    """

    by: Literal["time", "user"]
    salt: str = "headrace-split"
    gap_days: Annotated[int, Field(ge=1)] = 1
    train: float | tuple[date, date]
    validation: float | tuple[date, date] | None = None
    test: float | tuple[date, date] | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> "SplitConfig":
        kind, words = (tuple, "[first day, last day]") if self.by == "time" else (float, "a share such as 0.8")
        odd = [name for name, part in self.parts.items() if not isinstance(part, kind)]
        if odd:
            raise ValueError(f"{odd[0]}: found {self.parts[odd[0]]}, wanted {words} with by: {self.by}")
        self._check_days() if self.by == "time" else self._check_shares()
        return self

    @property
    def parts(self) -> dict[str, float | tuple[date, date]]:
        """The splits that are declared, in order."""
        given = {name: getattr(self, name) for name in SPLITS}
        return {name: part for name, part in given.items() if part is not None}

    def _check_days(self) -> None:
        spans = sorted((part[0], part[1], name) for name, part in self.parts.items() if isinstance(part, tuple))
        for first, last, name in spans:
            if first > last:
                raise ValueError(f"{name}: found a last day {last} before the first, wanted [first day, last day]")
        for (_, end, left), (start, _, right) in pairwise(spans):
            if start - end <= timedelta(days=self.gap_days):
                found = f"found {left} until {end} and {right} from {start}"
                raise ValueError(f"{found}, wanted {self.gap_days} day(s) between them")

    def _check_shares(self) -> None:
        shares = [part for part in self.parts.values() if isinstance(part, float)]
        if abs(sum(shares) - 1) > 1e-9 or min(shares) <= 0:
            raise ValueError(f"found shares {self.parts}, wanted some above 0 that sum to 1")
