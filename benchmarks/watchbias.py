"""How far the unweighted watch head falls below the mean seconds: exact, as a figure, and as fitted on samples.

`python -m benchmarks.watchbias [--svg docs/img/watch-bias.svg] [--rows 400000]` prints the tables of docs/heads.md;
nothing is timed. Seconds t are 0 with probability 1 - q and else log-normal (or exponential) with a mean of 30 s.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import exp1

from benchmarks.harness import main
from trainer.heads import Head, Watch, head_losses, loss_scales

__all__ = ["CASES", "Seconds", "bench", "exact_table", "fitted_logit", "scale_table", "svg"]

_PLAYED_S = 30.0  # mean seconds of a video that was watched at all
_WATCHES: tuple[Watch, ...] = ("unweighted", "weighted")
_HEAD = Head("watch", "watch", "label_watch_s")
_PLOT = (70, 20, 560, 350)  # left, top, right, bottom in px, of 720 x 400
_TOP_SPREAD, _LEAST = 3.0, 0.01  # ends of the axes: spread 0 to 3, ratio 0.01 to 1
_LINES = (
    (1.0, "#0072b2"),
    (0.5, "#009e73"),
    (0.2, "#d55e00"),
    (0.05, "#cc79a7"),
)  # share watched, colour (Okabe and Ito)


@dataclass(frozen=True)
class Seconds:
    """A distribution of seconds watched.

    Attributes
    ----------
    share : q, probability that t > 0
    spread : coefficient of variation of t where t > 0; 1 for the exponential
    kind : lognormal or exponential
    """

    share: float
    spread: float
    kind: Literal["lognormal", "exponential"] = "lognormal"

    def named(self) -> str:
        """The spread, and what is not log-normal."""
        return f"{self.spread:g}" + (", exponential" if self.kind == "exponential" else "")

    def mean(self) -> float:
        """E[t]."""
        return self.share * _PLAYED_S

    def variation(self) -> float:
        """Coefficient of variation of t, zeros and all."""
        return math.sqrt((1 + self.spread**2) / self.share - 1)

    def inverse(self, power: int = 1) -> float:
        """E[1 / (1 + t)^power], by quadrature over the normal behind the log-normal; exponential: power 1 only."""
        return 1 - self.share + self.share * self._inverse_watched(power)

    def _inverse_watched(self, power: int) -> float:
        if self.kind == "exponential":
            if power != 1:
                raise ValueError(f"power: found {power}, wanted 1 for an exponential")
            return math.exp(1 / _PLAYED_S) * float(exp1(1 / _PLAYED_S)) / _PLAYED_S
        middle, sigma = self._logs()

        def density(x: float) -> float:
            return math.exp(-x * x / 2) / math.sqrt(2 * math.pi) / (1 + math.exp(middle + sigma * x)) ** power

        return quad(density, -12, 12, epsabs=1e-12, epsrel=1e-10, limit=200)[0]

    def _logs(self) -> tuple[float, float]:
        sigma = math.sqrt(math.log1p(self.spread**2))
        return math.log(_PLAYED_S) - sigma**2 / 2, sigma

    def unweighted(self) -> float:
        """exp(z) at the optimum of the unweighted head, E[y] / (1 - E[y])."""
        left = self.inverse()
        return (1 - left) / left

    def rows_until_closer(self) -> float:
        """Rows of one kind from which the weighted estimate has the smaller mean squared error, to first order."""
        left, ratio = self.inverse(), self.unweighted() / self.mean()
        noise = (self.inverse(2) - left**2) / (left * (1 - left)) ** 2  # relative variance of the odds, times rows
        return (self.variation() ** 2 - ratio**2 * noise) / (1 - ratio) ** 2

    def sample(self, rows: int, *, rng: np.random.Generator) -> np.ndarray:
        """(N,) draws."""
        exponential = self.kind == "exponential"
        drawn = rng.exponential(_PLAYED_S, rows) if exponential else rng.lognormal(*self._logs(), rows)
        return np.where(rng.random(rows) < self.share, drawn, 0.0)


CASES = (
    Seconds(1.0, 0.5),
    Seconds(1.0, 1.0),
    Seconds(1.0, 1.0, "exponential"),
    Seconds(1.0, 2.0),
    Seconds(0.5, 1.0),
    Seconds(0.2, 1.0),
    Seconds(0.05, 1.0),
    Seconds(0.05, 2.0),
)


def fitted_logit(seconds: np.ndarray, *, watch: Watch) -> float:
    """The one logit that gradient descent on trainer.heads.head_losses finds for all rows (L-BFGS, float64, from 0)."""
    labels = torch.from_numpy(seconds)[:, None]  # (N, 1)
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([z], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        descent.zero_grad()
        loss = head_losses(z.expand_as(labels), labels, heads=[_HEAD], watch=watch, complete=True).sum()
        loss.backward()
        return loss.item()

    descent.step(closure)
    return z.item()


def _head(*columns: str) -> list[str]:
    names = ("watched at all", "spread of t > 0", *columns)
    return ["| " + " | ".join(names) + " |", "|---:|---|" + "---:|" * len(columns)]


def exact_table() -> list[str]:
    """Lines of Markdown: the optimum of the unweighted head beside the mean, from formulas alone."""
    lines = _head("E[t], s", "unweighted, s", "unweighted / E[t]", "weighted is closer from")
    for case in CASES:
        rows = f"{case.rows_until_closer():,.0f} rows" if case.kind == "lognormal" else "-"
        cells = f"{case.mean():g} | {case.unweighted():.3g} | {case.unweighted() / case.mean():.3f} | {rows}"
        lines.append(f"| {case.share:g} | {case.named()} | {cells} |")
    return lines


def scale_table() -> list[str]:
    """Lines of Markdown: root mean square of a row's gradient where the head starts at the mean, by divisor."""
    lines = _head("undivided", "by 1 + E[t]", "by `loss_scales`", "undivided, z = 0", "click head")
    for case in (c for c in CASES if c.kind == "lognormal"):
        mean, deviation = case.mean(), case.mean() * case.variation()
        size = deviation / (1 + mean)  # of (mean - t) / (1 + mean)
        (scale,) = loss_scales([_HEAD], means=[mean], deviations=[deviation], watch="weighted")
        at_zero = math.hypot(1 - mean, deviation) / 2
        click = math.sqrt(case.share * (1 - case.share))
        cells = (size, size / (1 + mean), size / scale, at_zero, click)
        lines.append(f"| {case.share:g} | {case.spread:g} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return lines


def _place(spread: float, ratio: float) -> tuple[float, float]:
    """Pixels of a point: spread along, the log of the ratio upwards."""
    left, top, right, bottom = _PLOT
    return left + (right - left) * spread / _TOP_SPREAD, top + (bottom - top) * math.log(ratio) / math.log(_LEAST)


def _text(x: float, y: float, words: str, *, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'


def _axes() -> list[str]:
    left, _, right, bottom = _PLOT
    made = []
    for ratio in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        y = _place(0, ratio)[1]
        made.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        made.append(_text(left - 8, y + 4, f"{ratio:g}", more='text-anchor="end"'))
    made += [_text(_place(s, 1)[0], bottom + 18, f"{s:g}", more='text-anchor="middle"') for s in (0, 1, 2, 3)]
    middle = 'text-anchor="middle"'
    made.append(
        _text((left + right) / 2, bottom + 38, "spread of t where t &gt; 0 (deviation / mean, log-normal)", more=middle)
    )
    made.append(_text(0, 0, "exp(z) / E[t]", more='transform="translate(18 185) rotate(-90)" text-anchor="middle"'))
    return made


def svg(rings: Sequence[tuple[Seconds, float]] = ()) -> str:
    """The figure: a line for each share watched, and rings where heads were fitted.

    Parameters
    ----------
    rings : (distribution, fitted exp(z) / E[t])
    """
    right = _PLOT[2]
    made = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 400" font-family="sans-serif" font-size="12">',
        "<title>Optimum of the unweighted watch head as a share of the mean seconds</title>",
        '<rect width="720" height="400" fill="#fff"/>',
        *_axes(),
    ]
    x, y = _place(0, 1)
    made.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#000" stroke-width="2"/>')
    made.append(_text(right + 8, y + 4, "weighted: E[t]"))
    below = 0.0  # labels keep a line's height between them
    for share, colour in _LINES:
        cases = [Seconds(share, 0.05 * step) for step in range(61)]
        points = [_place(case.spread, case.unweighted() / case.mean()) for case in cases]
        along = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        made.append(f'<polyline points="{along}" fill="none" stroke="{colour}" stroke-width="2"/>')
        below = max(below + 15, points[-1][1] + 4)
        made.append(_text(right + 8, below, f"unweighted, {share:.0%} watched", more=f'fill="{colour}"'))
    for case, ratio in rings:
        x, y = _place(case.spread, ratio)
        made.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#fff" stroke="#000"/>')
    return "\n".join([*made, "</svg>", ""])


def bench(argv: Sequence[str] | None = None) -> bool:
    """Print the tables and write the figure; True where every fit lies within four standard errors of the formula."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watchbias")
    parser.add_argument("--svg", type=Path, default=Path("docs/img/watch-bias.svg"))
    parser.add_argument("--rows", type=int, default=400_000)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rng = np.random.default_rng(7)
    fits = [_fit(case, case.sample(given.rows, rng=rng)) for case in CASES]
    print("\n".join([*exact_table(), "", *_fit_table(fits), "", *scale_table()]))
    rings = [(case, ratio) for case, found in zip(CASES, fits, strict=True) for _, ratio, _ in found]
    given.svg.parent.mkdir(parents=True, exist_ok=True)
    given.svg.write_text(svg([ring for ring in rings if ring[0].kind == "lognormal"]), encoding="utf-8")
    return all(abs(ratio - derived) < 4 * error for found in fits for derived, ratio, error in found)


def _fit(case: Seconds, seconds: np.ndarray) -> list[tuple[float, float, float]]:
    """(derived, fitted, standard error) of exp(z) / E[t], unweighted and weighted."""
    y, root = seconds / (1 + seconds), math.sqrt(len(seconds))
    errors = (y.std() / (1 - y.mean()) ** 2 / case.mean() / root, case.variation() / root)
    fitted = [math.exp(fitted_logit(seconds, watch=watch)) / case.mean() for watch in _WATCHES]
    return list(zip((case.unweighted() / case.mean(), 1.0), fitted, errors, strict=True))


def _fit_table(fits: Sequence[Sequence[tuple[float, float, float]]]) -> list[str]:
    lines = _head("unweighted, derived", "unweighted, fitted", "weighted, fitted")
    for case, ((derived, low, error), (_, mean, wide)) in zip(CASES, fits, strict=True):
        cells = f"{derived:.4f} | {low:.4f} ± {error:.4f} | {mean:.4f} ± {wide:.4f} |"
        lines.append(f"| {case.share:g} | {case.named()} | {cells}")
    return lines


if __name__ == "__main__":
    main(bench)
