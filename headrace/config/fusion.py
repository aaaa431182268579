"""Fusion as data: the form that puts several heads together to one score, its numbers, and how they are tuned.

A closed set of forms with named numbers, so nothing is parsed and nothing is evaluated. docs/fusion.md has the formulas.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["FORMS", "NEUTRAL", "Fusion", "FusionInput", "Number", "TuneConfig", "click_of", "number_of"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Number = Literal["weight", "exponent", "offset"]

# form -> the numbers that its inputs take; the first has to be written, the others are neutral where they are left out
FORMS: Mapping[str, tuple[Number, ...]] = {
    "sum": ("weight",),
    "click_times": ("weight",),
    "product": ("weight", "exponent"),
    "rank": ("weight", "exponent", "offset"),
    "power": ("exponent",),
}
NEUTRAL: Mapping[str, float] = {"weight": 1.0, "exponent": 1.0, "offset": 0.0}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FusionInput(_Strict):
    """The numbers of one head or column in a form: w, alpha and beta of the formulas; None: not written."""

    weight: Finite | None = None
    exponent: Finite | None = None
    offset: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class Fusion(_Strict):
    """One score of several heads and columns.

    Attributes
    ----------
    form : sum | click_times | product | rank | power
    inputs : head or column -> its numbers, in the order in which the formula is written
    click : click_times only: the input that multiplies; None: click
    missing : what a NaN means (the head does not apply to the row): neutral drops the term (0 in a sum, factor 1 in a
        product), refuse ends with an error; None: refuse under power, where a dropped factor of 1 would be the best
        probability there is, neutral elsewhere
    """

    form: Literal["sum", "click_times", "product", "rank", "power"]
    inputs: Annotated[dict[str, FusionInput], Field(min_length=1)]
    click: str | None = None
    missing: Literal["neutral", "refuse"] | None = None

    @model_validator(mode="after")
    def _numbers_fit_the_form(self) -> "Fusion":
        _check_click(self)
        for name, given in self.inputs.items():
            takes = () if name == click_of(self) else FORMS[self.form]
            _check_numbers(given, takes=takes, where=f"inputs.{name}", form=self.form)
        return self


class TuneConfig(_Strict):
    """A seeded search for the numbers of a fusion on the validation day.

    Attributes
    ----------
    utility : label -> what one unit of it is worth (an action, a second watched); a harm is negative, and 0 shows a
        label in the trials without counting it
    top : places of a request that are looked at; a downsampled row fills as many as it stands for (its sample weight)
    trials : settings that are tried, the declared one among them
    numbers : which numbers the search may change; None: the weights, of power the exponents
    """

    utility: Annotated[dict[str, Finite], Field(min_length=1)]
    top: Count
    trials: Annotated[int, Field(ge=2)]
    numbers: Annotated[tuple[Number, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _something_is_wanted(self) -> "TuneConfig":
        if max(self.utility.values()) <= 0:
            raise ValueError(f"utility: found {self.utility}, wanted at least one label worth more than 0")
        return self


def click_of(fusion: Fusion) -> str | None:
    """Name of the input that multiplies; None where the form has none."""
    return (fusion.click or "click") if fusion.form == "click_times" else None


def number_of(fusion: Fusion, name: str, *, number: Number) -> float:
    """A number of the input `name`, the neutral one where none is written."""
    written = getattr(fusion.inputs[name], number)
    return NEUTRAL[number] if written is None else written


def _check_click(fusion: Fusion) -> None:
    click = click_of(fusion)
    if click is None and fusion.click is not None:
        raise ValueError(f"click: found {fusion.click!r} under form {fusion.form}, wanted it under click_times only")
    if click is not None and (click not in fusion.inputs or len(fusion.inputs) < 2):
        raise ValueError(f"inputs: found {list(fusion.inputs)}, wanted {click!r} (key click) and at least one more")


def _check_numbers(given: FusionInput, *, takes: tuple[Number, ...], where: str, form: str) -> None:
    foreign = sorted(n for n in NEUTRAL if getattr(given, n) is not None and n not in takes)
    if foreign:
        wanted = f"only {', '.join(takes)}" if takes else "no number: it multiplies as it is"
        raise ValueError(f"{where}: found {', '.join(foreign)}, wanted {wanted} under form {form}")
    if takes and getattr(given, takes[0]) is None:
        raise ValueError(f"{where}: found no {takes[0]}, wanted one: form {form} has none of its own")
    if form == "product" and given.weight is not None and given.weight < 0:
        raise ValueError(f"{where}.weight: found {given.weight}, wanted 0 or more; a harm takes a negative exponent")
    if form == "rank" and given.exponent is not None and given.exponent <= 0:
        raise ValueError(
            f"{where}.exponent: found {given.exponent}, wanted more than 0; a harm takes a negative weight"
        )
