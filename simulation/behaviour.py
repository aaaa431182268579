"""The true model: probabilities of click, like, collect, share, and the expected seconds watched.

Log-odds are sums of the user's taste for the category, the item's quality of the moment, its author, gender and age by
category, the hour, the position, the network, and a product of latent factors. Intercepts are solved once, so that
the mean rates are those of RATES on a day in the middle of the world.
"""

from dataclasses import dataclass

import numpy as np

from simulation.clock import DAY_US
from simulation.edits import DayState
from simulation.population import Items, Population
from simulation.traffic import Shown

__all__ = [
    "EXTRA_PLAYS",
    "RATES",
    "WATCH_SIGMA",
    "Drivers",
    "Intercepts",
    "Odds",
    "drivers",
    "fit_intercepts",
    "odds",
    "quality_at",
]

RATES = {"click": 0.10, "like": 0.015, "collect": 0.008, "share": 0.005}  # per impression
EXTRA_PLAYS = 0.12  # mean of the Poisson number of further plays of a clicked video
WATCH_SIGMA = 0.8  # of the logarithm of one play's seconds
_SCENE = np.array([0.0, 0.25, 0.35, -0.1])  # feed, follow, search, detail
_NETWORK = np.array([0.15, 0.05, -0.45])  # wifi, 5g, 4g: felt by videos only
# A video is for the evening, a note for the way to work.
_VIDEO_HOUR = 0.25 * np.cos((np.arange(24) - 21) * 2 * np.pi / 24)


@dataclass(frozen=True)
class Drivers:
    """What moves a row, each float64 (N,): in log-odds of a click, or as named."""

    click: np.ndarray
    taste: np.ndarray
    quality: np.ndarray
    author: np.ndarray
    latent: np.ndarray
    video: np.ndarray
    network: np.ndarray
    duration_s: np.ndarray


@dataclass(frozen=True)
class Intercepts:
    """Constants of the log-odds: of a click, and of the others given a click."""

    click: float
    like: float
    collect: float
    share: float


@dataclass(frozen=True)
class Odds:
    """Truth per impression, each float64 (N,).

    `click` is unconditional; `like`, `collect`, `share` are given a click (times `click` gives the unconditional one);
    `play_s` is the mean of one play given a click, NaN for notes.
    """

    click: np.ndarray
    like: np.ndarray
    collect: np.ndarray
    share: np.ndarray
    play_s: np.ndarray


def quality_at(items: Items, item: np.ndarray, *, when_us: np.ndarray) -> np.ndarray:
    """Quality of each item at each moment: a lasting part and two slow waves, so that recent days tell more."""
    turns = when_us[:, None] / items.period_us[item] * (2 * np.pi) + items.phase[item]
    return items.quality[item] + (items.swing[item] * np.sin(turns)).sum(axis=1)


def drivers(world: Population, shown: Shown, *, state: DayState) -> Drivers:
    """Everything that moves the rows, except the intercepts."""
    users, items, effects = world.users, world.items, world.effects
    category = state.category.at(shown.item, shown.request_us)
    band = state.age_band.at(shown.user, shown.request_us)
    taste = users.taste[shown.user, category].astype(np.float64)
    latent = (users.latent[shown.user] * items.latent[shown.item]).sum(axis=1) / users.latent.shape[1] ** 0.5
    quality = quality_at(items, shown.item, when_us=shown.request_us)
    author = effects.author[items.author[shown.item]].astype(np.float64)
    video = items.video[shown.item].astype(np.float64)
    novelty = np.exp(-np.maximum(shown.request_us - items.publish_us[shown.item], 0) / (2 * DAY_US))
    network = _NETWORK[shown.network] * video
    click = (
        0.6 * taste + quality + 0.35 * author + 0.3 * latent + 0.3 * novelty + network - 0.09 * shown.position
        + effects.gender[users.gender[shown.user], category]  # the code -1 reads the last row, which is 0
        + effects.age[band, category] + _SCENE[shown.scene] + _VIDEO_HOUR[shown.hour] * (2 * video - 1)
    )  # fmt: skip
    return Drivers(click, taste, quality, author, latent, video, network, items.duration_s[shown.item])


def _given_click(moved: Drivers) -> dict[str, np.ndarray]:
    """Log-odds of like, collect and share given a click, without intercepts."""
    return {
        "like": 0.5 * moved.taste + 0.6 * moved.quality + 0.3 * moved.author + 0.2 * moved.latent,
        "collect": 0.6 * moved.quality + 0.5 * (1 - moved.video) + 0.3 * moved.author,
        "share": 0.4 * moved.quality + 0.4 * moved.author + 0.3 * moved.video,
    }


def odds(moved: Drivers, fitted: Intercepts) -> Odds:
    """True probabilities and mean seconds of a play."""
    given = _given_click(moved)
    # Long videos are watched to a smaller part; what one likes, longer; on a poor network, less.
    part = _sigmoid(0.7 * moved.taste + 0.5 * moved.quality + moved.network - 0.5 * np.log(moved.duration_s / 30))
    return Odds(
        click=_sigmoid(fitted.click + moved.click),
        like=_sigmoid(fitted.like + given["like"]),
        collect=_sigmoid(fitted.collect + given["collect"]),
        share=_sigmoid(fitted.share + given["share"]),
        play_s=moved.duration_s * (0.1 + 0.9 * part),
    )


def fit_intercepts(moved: Drivers) -> Intercepts:
    """Intercepts with which the mean rates over these rows are RATES, by bisection."""
    click = _solve(moved.click, np.ones_like(moved.click), target=RATES["click"])
    p_click = _sigmoid(click + moved.click)
    rest = {name: _solve(logit, p_click, target=RATES[name]) for name, logit in _given_click(moved).items()}
    return Intercepts(click, **rest)


def _solve(logit: np.ndarray, weight: np.ndarray, *, target: float) -> float:
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        below = float((weight * _sigmoid(middle + logit)).mean()) < target
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))
