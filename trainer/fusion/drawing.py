"""The frontier as an inline SVG: one template, the text's own colour, so that it does in light and dark pages."""

from collections.abc import Sequence
from html import escape
from string import Template

from trainer.fusion.forms import describe
from trainer.fusion.results import Trial, Tuning

__all__ = ["draw_frontier"]

_LEFT, _TOP, _WIDTH, _HEIGHT = 64, 16, 360, 240  # the plot's box in a drawing of 448 x 320
_PAGE = Template(
    """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 448 320" role="img" aria-labelledby="$key-title $key-desc"
 font-family="system-ui, sans-serif" font-size="12" fill="currentColor" stroke="none">
<title id="$key-title">$title</title>
<desc id="$key-desc">$desc</desc>
<path d="M64,16 V256 H424" fill="none" stroke="currentColor"/>
<text x="64" y="272">$left</text><text x="424" y="272" text-anchor="end">$right</text>
<text x="58" y="256" text-anchor="end">$bottom</text><text x="58" y="26" text-anchor="end">$top</text>
<text x="244" y="300" text-anchor="middle">$x</text>
<text transform="translate(16 136) rotate(-90)" text-anchor="middle">$y</text>
$marks
</svg>
"""
)
_DOT = '<circle cx="{0:.1f}" cy="{1:.1f}" r="2" fill-opacity="0.35"/>'
_EDGE = '<circle cx="{0:.1f}" cy="{1:.1f}" r="3.5"><title>{2}</title></circle>'
_LINE = '<polyline points="{0}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
_DECLARED = (
    '<rect x="{0:.1f}" y="{1:.1f}" width="9" height="9" fill="none" stroke="currentColor" stroke-width="1.5">'
    "<title>{2}</title></rect>"
)
_BEST = '<circle cx="{0:.1f}" cy="{1:.1f}" r="6.5" fill="none" stroke="currentColor" stroke-width="1.5"/>'
_NAME = '<text x="{0:.1f}" y="{1:.1f}" text-anchor="{2}">{3}</text>'


def draw_frontier(tuning: Tuning, *, key: str = "frontier") -> str:
    """All trials as dots, their frontier as a line, the declared and the best setting by name; "" without a frontier.

    Each point of the frontier has its formula as a tooltip.

    Parameters
    ----------
    tuning : Tuning
    key : prefix of the ids, another for each drawing of a page
    """
    if not tuning.frontier:
        return ""
    x, y = list(tuning.config.utility)[:2]
    (low_x, high_x), (low_y, high_y) = (_ends(tuning.trials, part) for part in (x, y))
    return _PAGE.substitute(
        key=escape(key),
        title=escape(f"Trade-off between {x} and {y}"),
        desc=escape(_summary(tuning, (x, y))),
        left=f"{low_x:.2%}",
        right=f"{high_x:.2%}",
        bottom=f"{low_y:.2%}",
        top=f"{high_y:.2%}",
        x=escape(_axis(tuning, x)),
        y=escape(_axis(tuning, y)),
        marks="\n".join(_marks(tuning, (x, y))),
    )


def _marks(tuning: Tuning, parts: tuple[str, str]) -> list[str]:
    ends = [_ends(tuning.trials, part) for part in parts]

    def place(trial: Trial) -> tuple[float, float]:
        right, up = ((trial.parts[p] - low) / (high - low) for p, (low, high) in zip(parts, ends, strict=True))
        return _LEFT + _WIDTH * right, _TOP + _HEIGHT * (1 - up)

    declared, best = tuning.trials[0], tuning.trials[tuning.best_trial]
    marks = [_DOT.format(*place(trial)) for trial in tuning.trials]
    marks.append(_LINE.format(" ".join("{:.1f},{:.1f}".format(*place(trial)) for trial in tuning.frontier)))
    marks += [_EDGE.format(*place(trial), escape(_told(trial, parts))) for trial in tuning.frontier]
    (px, py), (bx, by) = place(declared), place(best)
    marks.append(_DECLARED.format(px - 4.5, py - 4.5, escape(_told(declared, parts))))
    marks.append(_BEST.format(bx, by))
    if best is declared:
        return [*marks, _name("declared and best", at=(px, py + 18))]
    return [*marks, _name("declared", at=(px, py + 18)), _name("best", at=(bx, by - 10))]


def _name(text: str, *, at: tuple[float, float]) -> str:
    """A label that stays inside the drawing."""
    x, y = at
    anchor = "end" if x > _LEFT + _WIDTH / 2 else "start"
    return _NAME.format(x, min(max(y, 12), _TOP + _HEIGHT - 4), anchor, escape(text))


def _ends(trials: Sequence[Trial], part: str) -> tuple[float, float]:
    """Least and largest share, a little apart where all are one."""
    shares = [trial.parts[part] for trial in trials]
    low, high = min(shares), max(shares)
    return (low, high) if high > low else (low - 0.005, high + 0.005)


def _axis(tuning: Tuning, part: str) -> str:
    return f"{part} captured" + (" (less is better)" if tuning.config.utility[part] < 0 else "")


def _told(trial: Trial, parts: tuple[str, str]) -> str:
    shares = ", ".join(f"{part} {trial.parts[part]:.2%}" for part in parts)
    return f"{describe(trial.fusion)}: {shares}"


def _summary(tuning: Tuning, parts: tuple[str, str]) -> str:
    declared, best = (_told(tuning.trials[number], parts) for number in (0, tuning.best_trial))
    return (
        f"{len(tuning.trials)} settings by the share of {parts[0]} and of {parts[1]} that their top {tuning.config.top} "
        f"captures; {len(tuning.frontier)} of them are beaten by none. Declared: {declared}. Best: {best}."
    )
