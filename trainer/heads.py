"""Heads: what a network puts out for each label, what each costs, and how a logit becomes a prediction.

Every loss here is one formula, l(z) = a softplus(-z) + b softplus(z), that is -(a log p + b log(1 - p)) with
p = sigmoid(z). Its mean is least where exp(z) = E[a] / E[b]; the kinds differ in a and b only:

    kind                a              b              so that
    binary              y              1 - y          p = P(y = 1)
    ratio               y in [0, 1]    1 - y          p = E[y]
    watch, weighted     t              1              exp(z) = E[t], in seconds
    watch, unweighted   t / (1 + t)    1 / (1 + t)    exp(z) = E[t / (1 + t)] / E[1 / (1 + t)], which is at most E[t]

Weighted watch is the cross-entropy of y = t / (1 + t) times 1 + t. It mends the weighted logistic regression of
Covington, Adams and Sargin ("Deep Neural Networks for YouTube Recommendations", RecSys 2016, section 4.2), whose odds
are E[t] / P(not watched): here every row, watched or not, also counts once as a negative. docs/heads.md shows the bias
of the unweighted one.
Legend: B rows, T heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

__all__ = ["Head", "estimates", "head_losses", "loss_scales", "start_logits", "targets", "total_loss"]

Watch = Literal["weighted", "unweighted"]
Floats = npt.NDArray[np.float64]

_SECONDS = (1e-6, 1e6)  # a predicted watch time is kept between a microsecond and 11.6 days
_RATES = (1e-7, 1 - 1e-7)  # a head does not begin at a certainty


@dataclass(frozen=True)
class Head:
    """One output of a network: name, kind of label it learns, the label's column, and whether its loss is weighted."""

    name: str
    kind: Literal["binary", "watch", "ratio"]
    label: str
    weighted: bool = False


@dataclass(frozen=True)
class _Columns:
    """Places of watch columns, the ceiling of each label (T,), which heads are weighted (T,); None where none is."""

    watch: Tensor | None
    ceilings: Tensor | None
    weighted: Tensor | None
    all_weighted: bool
    scales: Tensor | None


def head_losses(
    logits: Tensor,
    labels: Tensor,
    *,
    heads: Sequence[Head],
    weight: Tensor | None = None,
    watch: Watch = "weighted",
    mean_weight: float = 1.0,
    scales: Sequence[float] | None = None,
    complete: bool = False,
) -> Tensor:
    """Mean loss of each head over the rows of a batch to which its label applies.

    A weighted head's loss is mean(w l) / mean_weight, with one mean_weight for the whole training; see `_factors`.

    Parameters
    ----------
    logits, labels : (B, T)
        A NaN label costs nothing, has no gradient and is not counted. Seconds are >= 0; ratios are clipped to [0, 1].
    heads : T heads, in the order of the columns
    weight : (B,) sample weights, needed where a head is weighted
    watch : the weighting of watch heads
    mean_weight : mean sample weight of the training rows, so that losses keep their scale
    scales : T positive constants that losses are divided by, see `loss_scales`; they change no head's own optimum
    complete : the caller knows that no label is NaN; then nothing is masked

    Returns
    -------
    (T,) in nats, float32 (float64 for float64 logits); exactly 0 for a head none of whose labels applies.

    Raises
    ------
    ValueError
        Shapes disagree, or a head is weighted and there is no weight.
    """
    z = logits if logits.dtype == torch.float64 else logits.float()  # (B, T)
    if z.shape != labels.shape or z.shape[1:] != (len(heads),):
        raise ValueError(f"found logits {tuple(z.shape)}, labels {tuple(labels.shape)}, wanted (B, {len(heads)}) twice")
    columns = _columns(tuple(heads), None if scales is None else tuple(scales), z.device)
    applies = None if complete else ~labels.isnan()  # (B, T)
    y = labels.to(z.dtype) if applies is None else labels.to(z.dtype).masked_fill(~applies, 0.0)  # (B, T)
    losses = _losses(z, y, columns=columns, watch=watch)  # (B, T)
    if columns.weighted is not None:
        losses = losses * _factors(weight, columns=columns, mean_weight=mean_weight, like=z)
    return _means(losses, applies, scales=columns.scales)


def _means(losses: Tensor, applies: Tensor | None, *, scales: Tensor | None) -> Tensor:
    if applies is None:
        means = losses.sum(dim=0) / max(len(losses), 1)  # (T,)
    else:
        means = (losses * applies).sum(dim=0) / applies.sum(dim=0).clamp_min(1)  # (T,)
    return means if scales is None else means / scales


@lru_cache(maxsize=64)
def _columns(heads: tuple[Head, ...], scales: tuple[float, ...] | None, device: torch.device) -> _Columns:
    """Constants of the heads on a device, made once; never as inference tensors, which no backward pass may use."""
    if scales is not None and (len(scales) != len(heads) or min(scales) <= 0):
        raise ValueError(f"scales: found {scales}, wanted {len(heads)} positive numbers")
    with torch.inference_mode(False):
        places = [at for at, head in enumerate(heads) if head.kind == "watch"]
        cut = [1.0 if head.kind == "ratio" else float("inf") for head in heads]
        marks = [head.weighted for head in heads]
        return _Columns(
            watch=torch.tensor(places, device=device) if places else None,
            ceilings=torch.tensor(cut, device=device) if 1.0 in cut else None,
            weighted=torch.tensor(marks, device=device) if any(marks) else None,
            all_weighted=all(marks),
            scales=None if scales is None else torch.tensor(scales, device=device),
        )


def _losses(z: Tensor, y: Tensor, *, columns: _Columns, watch: Watch) -> Tensor:
    """Loss of each cell, (B, T). Watch is a sum of two terms that are never negative: no digits cancel at t = 1e5."""
    if columns.ceilings is not None:
        y = torch.minimum(y.clamp_min(0.0), columns.ceilings.to(y.dtype))  # (B, T)
    losses = functional.binary_cross_entropy_with_logits(z, y, reduction="none")  # (B, T)
    if columns.watch is None:
        return losses
    z, t = z[:, columns.watch], y[:, columns.watch]  # (B, watch heads)
    watched = t * functional.softplus(-z) + functional.softplus(z)
    return losses.index_copy(1, columns.watch, watched if watch == "weighted" else watched / (1.0 + t))


def _factors(weight: Tensor | None, *, columns: _Columns, mean_weight: float, like: Tensor) -> Tensor:
    """What each loss is multiplied by, (B, 1) or (B, T): w / mean_weight, and 1 for heads that take no weight.

    Rows of a batch are a random sample of the rows that a label applies to, so with one mean_weight for the whole
    training the expected gradient is that of the traffic. Dividing by the batch's own sum of weights instead gives a
    ratio of two random sums: its expectation is another one, it leans towards rows of small weight, and one heavy row
    would shrink what all others say.
    """
    if weight is None or columns.weighted is None:
        raise ValueError("a head is weighted: found no weight, wanted (B,) sample weights")
    scaled = (weight / mean_weight).to(like.dtype)[:, None]  # (B, 1)
    return scaled if columns.all_weighted else torch.where(columns.weighted, scaled, 1.0)


def total_loss(losses: Tensor, *, weights: Tensor, log_variances: Tensor | None = None) -> Tensor:
    """One loss of all heads, a scalar: sum of c L with declared constants, or of c (exp(-s) L + s / 2) with learnt s.

    The second is the classification form, equation 10 of Kendall, Gal and Cipolla ("Multi-Task Learning Using
    Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR 2018), s = log of a variance: L / variance +
    log(deviation). All losses here are cross-entropies. At the best s a head counts c / (2 L); a constant outside the
    bracket still decides, one inside would be undone by s. A head whose loss is exactly 0, as without any label in the
    batch, moves its s nowhere.

    Parameters
    ----------
    losses : (T,) of `head_losses`
    weights : (T,) declared constants c
    log_variances : (T,) parameter s that begins at 0, or None for constants alone
    """
    if log_variances is None:
        return (weights * losses).sum()
    present = losses.detach() != 0  # (T,)
    return (weights * (torch.exp(-log_variances) * losses + log_variances / 2 * present)).sum()


def estimates(logits: Tensor | npt.NDArray, *, heads: Sequence[Head]) -> Floats:
    """Predictions (B, T) float64 from logits (B, T): probabilities, mean ratios, and seconds for watch heads.

    Seconds are exp(z), kept within 1e-6 and 1e6. Nothing is corrected for sampling here; a NaN stays NaN.
    """
    numbers = logits.detach().double().cpu().numpy() if isinstance(logits, Tensor) else logits
    z = np.asarray(numbers, dtype=np.float64)  # (B, T)
    seconds = np.array([head.kind == "watch" for head in heads])  # (T,)
    low, high = np.log(_SECONDS)
    return np.where(seconds, np.exp(np.clip(z, low, high)), expit(z))


def targets(labels: npt.ArrayLike, *, heads: Sequence[Head], watch: Watch) -> Floats:
    """What each head's start is a mean of, (B, T) float64 from labels (B, T); NaN stays NaN.

    The label; a ratio clipped to [0, 1]; seconds t of a weighted watch head, t / (1 + t) of an unweighted one.
    """
    values = np.array(labels, dtype=np.float64)  # (B, T)
    for at, head in enumerate(heads):
        if head.kind == "ratio":
            values[:, at] = np.clip(values[:, at], 0.0, 1.0)
        elif head.kind == "watch" and watch == "unweighted":
            values[:, at] /= 1.0 + values[:, at]
    return values


def start_logits(heads: Sequence[Head], *, means: Sequence[float], watch: Watch) -> Tensor:
    """The logit at which each head should begin, (T,) float32: the best that a constant can do.

    Parameters
    ----------
    means : T means of `targets` over the rows to which the label applies, with sample weights for weighted heads

    Returns
    -------
    logit(mean), or log(mean) for weighted watch. Means are first kept within 1e-7 and 1 - 1e-7, seconds within 1e-6
    and 1e6.

    Raises
    ------
    ValueError
        A mean is NaN, negative, or above 1 where it is a share.
    """
    found = []
    for head, mean in zip(heads, means, strict=True):
        seconds = head.kind == "watch" and watch == "weighted"
        if not 0 <= mean <= (np.inf if seconds else 1):
            raise ValueError(f"{head.name}: found a mean of {mean}, wanted {'seconds >= 0' if seconds else 'a share'}")
        kept = np.clip(mean, *(_SECONDS if seconds else _RATES))
        found.append(np.log(kept) if seconds else np.log(kept) - np.log1p(-kept))
    return torch.tensor(found, dtype=torch.float32)


def loss_scales(
    heads: Sequence[Head], *, means: Sequence[float], deviations: Sequence[float], watch: Watch
) -> tuple[float, ...]:
    """What losses are divided by lest watch heads drown the others: 2 s / (1 + m) for weighted watch, at least 1.

    At its start, exp(z) = m, a row's gradient is (m - t) / (1 + m), of root mean square s / (1 + m) with s the standard
    deviation of t. Divided by the constant that is 1/2, as of a binary head with p = 1/2, which has the most.

    Parameters
    ----------
    means, deviations : T means and standard deviations of `targets` over the training rows to which the label applies
    """
    return tuple(
        max(1.0, 2.0 * deviation / (1.0 + mean)) if head.kind == "watch" and watch == "weighted" else 1.0
        for head, mean, deviation in zip(heads, means, deviations, strict=True)
    )
