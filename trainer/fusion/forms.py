"""One score per row from the calibrated outputs of several heads: docs/fusion.md has the formulas.

Legend: N rows (candidates). An input is a head's output (a probability, seconds watched, completion / f(duration)) or a column
of the rows, such as a price.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import Fusion, click_of, number_of
from headrace.errors import ConfigError, InputError
from trainer.fusion.terms import LOGARITHMS, combined, prepared

__all__ = ["check_fusion", "describe", "fuse"]

Floats = npt.NDArray[np.float64]


def check_fusion(fusion: Fusion, *, heads: Iterable[str], columns: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the columns that a fusion needs beside the heads; a name that is both is the head.

    Raises
    ------
    ConfigError
        An input is neither a head nor a column.
    """
    known, extra = set(heads), set(columns)
    for name in fusion.inputs:
        if name not in known | extra:
            near = get_close_matches(name, sorted(known | extra), n=1)
            raise ConfigError(
                f"fusion.inputs.{name}",
                found="no head and no column of this name",
                wanted=f"a head ({', '.join(sorted(known)) or 'none'}) or a column of the rows",
                remedy=f"did you mean {near[0]}?" if near else "correct the name, or leave the input out",
            )
    return tuple(name for name in fusion.inputs if name not in known)


def fuse(
    fusion: Fusion,
    inputs: Mapping[str, npt.ArrayLike],
    *,
    requests: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> Floats:
    """Score of each row; more is better.

    Parameters
    ----------
    fusion : Fusion
    inputs : name -> (N,) float
        Others than the fusion names are ignored. NaN: the head does not apply to the row (`Fusion.missing`).
    requests : (N,) whole numbers
        Form rank only: rows of one value are ranked against each other.
    weights : (N,) positive
        Form rank only, for downsampled rows: sample weights, by which ranks are stretched over all rows that the
        request had; see `trainer.fusion.request_ranks`. Leave out where all candidates are there.

    Returns
    -------
    (N,) float64, finite. Product and power are computed as sums of logarithms; below 5e-324 they are 0.

    Raises
    ------
    ConfigError, ValueError
        An input is not among `inputs`; shapes differ.
    InputError
        A value is infinite, NaN where that is refused, negative under product or power, 0 under a negative exponent,
        a score is too large for a float64, or form rank has no requests.
    """
    scores = combined(fusion, prepared(fusion, inputs, requests=requests, weights=weights))
    if fusion.form in LOGARITHMS:
        with np.errstate(over="ignore"):
            scores = np.exp(scores)
    if not np.isfinite(scores).all():
        raise InputError(
            f"fusion: {describe(fusion)}",
            found=f"a score beyond all float64 in {int((~np.isfinite(scores)).sum())} of {len(scores)} rows",
            wanted="finite scores",
            remedy="make the exponents or weights smaller; the order stays if all exponents of a product shrink alike",
        )
    return scores


def describe(fusion: Fusion) -> str:
    """The formula with its numbers filled in, such as `click * (1 + 5 * like)`; numbers to six digits."""
    click = click_of(fusion)
    terms = [_said(fusion, name) for name in fusion.inputs if name != click]
    if fusion.form in LOGARITHMS:
        return " * ".join(terms)
    text = " + ".join(terms).replace("+ -", "- ")
    return text if click is None else f"{click} * (1 + {text})".replace("+ -", "- ")


def _said(fusion: Fusion, name: str) -> str:
    weight, exponent, offset = (number_of(fusion, name, number=n) for n in ("weight", "exponent", "offset"))
    power = "" if exponent == 1 else f"^{_short(exponent)}"
    match fusion.form:
        case "product":
            return f"(1 + {_times(weight)}{name}){power}"
        case "rank":
            below = f"rank({name}){power}"
            return f"{_short(weight)} / " + (f"({below} + {_short(offset)})" if offset else below)
        case "power":
            return f"{name}{power}"
        case _:
            return f"{_times(weight)}{name}"


def _times(weight: float) -> str:
    return "" if weight == 1 else f"{_short(weight)} * "


def _short(number: float) -> str:
    return f"{number:.6g}"
