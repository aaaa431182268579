"""The arithmetic of the forms, in two halves: what does not depend on the numbers, and what does.

A search for numbers pays for the first half once. Elementwise operations only, no matrix product: the same row gives the
same score to the last bit wherever it stands.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import Fusion, click_of, number_of
from headrace.errors import ConfigError, InputError
from trainer.fusion.ranks import request_ranks

__all__ = ["LOGARITHMS", "combined", "prepared"]

Floats = npt.NDArray[np.float64]
LOGARITHMS = ("product", "power")  # forms whose score is the exponential of a sum


def prepared(
    fusion: Fusion,
    inputs: Mapping[str, npt.ArrayLike],
    *,
    requests: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> dict[str, Floats]:
    """What the form computes with, (N,) for each input: its logarithm (power), its rank (rank), or itself.

    NaN has become what drops the term: 0 (for a logarithm too), or an infinite rank.

    Raises
    ------
    ConfigError
        An input that there is not.
    InputError
        A value that the form cannot take; see `trainer.fusion.fuse`.
    """
    values = {name: _checked(fusion, name, values=inputs) for name in fusion.inputs}
    lengths = {len(v) for v in values.values()}
    if len(lengths) > 1:
        raise ValueError(f"fusion: found inputs of {sorted(lengths)} rows, wanted one length")
    if fusion.form == "rank":
        return _ranked(values, requests=requests, weights=weights)
    if fusion.form == "power":
        with np.errstate(divide="ignore"):  # 0 with a positive exponent: the score is 0
            return {name: np.log(np.where(np.isnan(v), 1.0, v)) for name, v in values.items()}
    return {name: np.where(np.isnan(v), 0.0, v) for name, v in values.items()}


def combined(fusion: Fusion, parts: Mapping[str, Floats]) -> Floats:
    """Scores (N,) from what `prepared` returned; for product and power their logarithms, which order rows alike."""
    click = click_of(fusion)
    total = np.zeros_like(next(iter(parts.values())))  # (N,)
    with np.errstate(over="ignore"):  # rank^alpha beyond all numbers: its term is 0
        for name in fusion.inputs:
            if name != click:
                total += _term(fusion, name, values=parts[name])
    return total if click is None else parts[click] * (1 + total)


def _term(fusion: Fusion, name: str, *, values: Floats) -> Floats:
    """What one input adds to the sum, (N,)."""
    weight, exponent, offset = (number_of(fusion, name, number=n) for n in ("weight", "exponent", "offset"))
    match fusion.form:
        case "product":
            return exponent * np.log1p(weight * values)
        case "rank":
            return weight / (values**exponent + offset)
        case "power":
            return exponent * values if exponent else np.zeros_like(values)  # 0 * log(0) would be NaN
        case _:
            return weight * values


def _ranked(
    values: Mapping[str, Floats], *, requests: npt.ArrayLike | None, weights: npt.ArrayLike | None
) -> dict[str, Floats]:
    if requests is None:
        raise InputError(
            "fusion.form rank",
            found="rows without a request",
            wanted="the request of each row: ranks are among its candidates",
            remedy="choose another form, or score rows that have a request_id",
        )
    ranks = {name: request_ranks(v, requests=requests, weights=weights) for name, v in values.items()}
    return {name: np.where(np.isnan(r), np.inf, r) for name, r in ranks.items()}


def _checked(fusion: Fusion, name: str, *, values: Mapping[str, npt.ArrayLike]) -> Floats:
    """The input as float64 (N,), NaN only where its term is to be dropped."""
    if name not in values:
        raise ConfigError(
            f"fusion.inputs.{name}",
            found=f"no such input among {', '.join(sorted(values)) or 'none'}",
            wanted="a head of the model, or a column of the rows",
            remedy="correct the name, or leave the input out",
        )
    found = np.asarray(values[name], dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"fusion.inputs.{name}: found shape {found.shape}, wanted (N,)")
    missing = np.isnan(found)
    _refuse(name, np.isinf(found), values=found, wanted="finite numbers")
    if name == click_of(fusion):
        _refuse(name, missing, values=found, wanted="a number in every row: it multiplies all others")
    if fusion.missing == "refuse" or (fusion.missing is None and fusion.form == "power"):
        _refuse(name, missing, values=found, wanted="a number in every row (fusion.missing: neutral drops the term)")
    if fusion.form in LOGARITHMS:
        _refuse(name, found < 0, values=found, wanted=f"0 or more under form {fusion.form}")
    if fusion.form == "power" and number_of(fusion, name, number="exponent") < 0:
        _refuse(name, found == 0, values=found, wanted="more than 0 where the exponent is negative")
    return found


def _refuse(name: str, broken: npt.NDArray[np.bool_], *, values: Floats, wanted: str) -> None:
    if broken.any():
        first = int(np.argmax(broken))
        raise InputError(
            f"fusion.inputs.{name}",
            found=f"{values[first]:g} in {int(broken.sum())} of {len(broken)} rows, the first is row {first}",
            wanted=wanted,
            remedy="look at that head or column, or choose a form that takes such values",
        )
