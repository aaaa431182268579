"""Find the numbers of a fusion on validation rows: a seeded search for what captures most of a declared utility.

The value of an order of rows is sum(captured utility) / sum(utility that the best order captures), over the requests of two
candidates or more: the share of what could be had, a mean over requests in which each weighs as much as there is to get in it.
A row stands for as many impressions as its sample weight w: it fills w of the `top` places of its request, and brings
sum(worth * label) for each. A label that is NaN brings nothing. Tied rows share their places evenly.

Half of the requests, drawn by the seed, are searched; the other half judge the one setting that was found, so that its gain is
not that of the luckiest of many trials. Legend: N rows, R requests, P labels of the utility, D numbers searched.
"""

from collections.abc import Iterable, Mapping
from math import exp, log

import numpy as np
import numpy.typing as npt

from headrace.config.fusion import FORMS, Fusion, Number, TuneConfig, click_of, number_of
from headrace.errors import ConfigError
from trainer.fusion.candidates import Candidates, halves, measure
from trainer.fusion.frontier import frontier
from trainer.fusion.results import Estimate, Trial, Tuning, ratio
from trainer.fusion.search import search

__all__ = ["check_tune", "tune"]

Floats = npt.NDArray[np.float64]
# The box of the search: these factors up and down.
_SPANS: Mapping[Number, float] = {"weight": log(100), "offset": log(100), "exponent": log(4)}
# Numbers of which any common positive factor leaves the order as it is.
_SCALES = {"sum": "weight", "rank": "weight", "product": "exponent", "power": "exponent"}


def tune(
    fusion: Fusion,
    config: TuneConfig,
    *,
    inputs: Mapping[str, npt.ArrayLike],
    labels: Mapping[str, npt.ArrayLike],
    requests: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    seed: int,
) -> Tuning:
    """Search the numbers that capture most of the utility in the top of each request.

    The same rows in any order and the same seed give the same result.

    Parameters
    ----------
    fusion : the setting to start from; the search scales its numbers, and neither turns a sign nor wakes a 0
    config : TuneConfig
    inputs : name -> (N,) float, as for `trainer.fusion.fuse`
    labels : name -> (N,) float, 0/1 or an amount (seconds watched), NaN where it does not apply
    requests : (N,) whole numbers
    weights : (N,) sample weights, default all 1; under form rank they also stretch the ranks, as in `fuse`
    seed : int

    Raises
    ------
    ConfigError
        An input or label that there is not, a number that the form has not, nothing to search.
    InputError, ValueError
        Values that the form cannot take, fewer than 4 requests to compare, nothing to gain; shapes differ.
    """
    check_tune(config, fusion, labels=labels)
    rng = np.random.default_rng(seed)
    searched, judged, counts = halves(
        fusion, config, inputs=inputs, labels=labels, requests=requests, weights=weights, rng=rng
    )
    free, trials = _searched(fusion, config), []

    def value(point: Floats) -> float:
        trials.append(_trial(config, _moved(fusion, free, point=point), rows=searched))
        return trials[-1].value

    best = search(value, spans=np.array([_SPANS[n] for _, n in free]), trials=config.trials, rng=rng)
    return _judged(config, trials, best=best, rows=judged, counts=counts)


def check_tune(config: TuneConfig, fusion: Fusion, *, labels: Iterable[str]) -> None:
    """Raise ConfigError where a search would not know a label, or has no number to change."""
    known = sorted(labels)
    for name in config.utility:
        if name not in known:
            raise _wrong(f"tune.utility.{name}", found="no such label", wanted=f"some of {', '.join(known) or 'none'}")
    foreign = sorted(set(config.numbers or ()) - set(FORMS[fusion.form]))
    if foreign:
        takes = ", ".join(FORMS[fusion.form])
        raise _wrong("tune.numbers", found=", ".join(foreign), wanted=f"{takes} under form {fusion.form}")
    if not _searched(fusion, config):
        raise _wrong(
            "tune",
            found="nothing to search: each number is 0, neutral, or the one that sets the scale",
            wanted="a fusion with at least two inputs whose numbers are not 0",
        )


def _wrong(where: str, *, found: str, wanted: str) -> ConfigError:
    return ConfigError(where, found=found, wanted=wanted, remedy="correct it, or set train.tune: null")


def _searched(fusion: Fusion, config: TuneConfig) -> list[tuple[str, Number]]:
    """(input, number) pairs that the search may change: not 0, and not the first of those whose common factor is free."""
    numbers = [n for n in FORMS[fusion.form] if n in (config.numbers or FORMS[fusion.form][:1])]
    weighs = {
        name: number_of(fusion, name, number="weight") * number_of(fusion, name, number="exponent")
        for name in fusion.inputs
    }
    live = [name for name, both in weighs.items() if both and name != click_of(fusion)]
    free = [(name, number) for name in live for number in numbers if number_of(fusion, name, number=number)]
    scale = next((pair for pair in free if pair[1] == _SCALES.get(fusion.form)), None)
    return [pair for pair in free if pair != scale]


def _moved(fusion: Fusion, free: list[tuple[str, Number]], *, point: Floats) -> Fusion:
    """The fusion with its searched numbers times exp(point), to four digits, so that what is reported is what was tried."""
    data = fusion.model_dump(mode="json")
    for (name, number), step in zip(free, point, strict=True):
        if step:
            data["inputs"][name][number] = float(f"{number_of(fusion, name, number=number) * exp(step):.4g}")
    return Fusion.model_validate(data)


def _trial(config: TuneConfig, fusion: Fusion, *, rows: Candidates) -> Trial:
    found = measure(rows, fusion).sum(axis=1)  # (P,)
    value = float(rows.worth @ found / rows.ideal.sum())
    return Trial(fusion, value, _shares(config, found, rows=rows))


def _shares(config: TuneConfig, found: Floats, *, rows: Candidates) -> dict[str, float]:
    pairs = zip(config.utility, found, rows.attainable, strict=True)
    return {label: float(one / most) if most > 0 else float("nan") for label, one, most in pairs}


def _judged(config: TuneConfig, trials: list[Trial], *, best: int, rows: Candidates, counts: dict[str, int]) -> Tuning:
    """The declared and the best setting on the requests kept back."""
    first, last = measure(rows, trials[0].fusion), measure(rows, trials[best].fusion)  # (P, R)
    before, after = rows.worth @ first, rows.worth @ last  # (R,)
    gain = ratio(after - before, rows.ideal)
    shares = [_shares(config, found.sum(axis=1), rows=rows) for found in (first, last)]
    labels = list(config.utility)
    return Tuning(
        config=config,
        trials=tuple(trials),
        best_trial=best,
        before=ratio(before, rows.ideal),
        after=ratio(after, rows.ideal),
        gain=gain,
        parts={label: (shares[0][label], shares[1][label]) for label in labels},
        frontier=frontier(trials, utility=config.utility, parts=(labels[0], labels[1])) if len(labels) > 1 else (),
        requests=counts,
        warning=_warning(gain, best=best, requests=counts["judged"]),
    )


def _warning(gain: Estimate, *, best: int, requests: int) -> str | None:
    if best == 0:
        return "no trial captures more than the declared numbers; they stay"
    if gain.low > 0:
        return None
    return (
        f"a gain of {gain.value:.2%} ({gain.low:.2%} to {gain.high:.2%}) on {requests} requests that the search did not "
        "see is inside the noise; the declared numbers stay"
    )
