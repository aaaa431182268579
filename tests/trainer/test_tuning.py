"""Tuning a fusion: what a top captures against all orders of ties, planted weights, honest gains, the frontier."""

import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from headrace.config.fusion import Fusion, TuneConfig
from headrace.errors import ConfigError, InputError
from trainer.fusion import Trial, check_tune, describe, draw_frontier, frontier, fuse, tune, tuning_to_dict
from trainer.fusion.captured import captured, pack
from trainer.fusion.results import Tuning, ratio
from trainer.fusion.search import search

NAN = float("nan")
Columns = dict[str, npt.NDArray]
SUM = Fusion.model_validate({"form": "sum", "inputs": {"click": {"weight": 1}, "like": {"weight": 1}}})
RANK = Fusion.model_validate(
    {"form": "rank", "inputs": {"click": {"weight": 1, "offset": 5}, "like": {"weight": 1, "offset": 5}}}
)
LIKES = TuneConfig(utility={"click": 1, "like": 5}, top=3, trials=60)


def _world(requests: int, *, size: int = 12, seed: int = 5) -> tuple[npt.NDArray, Columns, Columns]:
    """Requests, true probabilities, and what users then did; like and click are independent."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, requests * size))
    p = {"click": 1 / (1 + np.exp(2.2 - 1.2 * a)), "like": 1 / (1 + np.exp(3.5 - 1.2 * b))}
    did = {name: (u < p[name]).astype(float) for name, u in zip(p, rng.random((2, len(a))), strict=True)}
    return np.repeat(np.arange(requests), size), p, did


def _tuned(requests: int = 800, *, seed: int = 7, **more: int) -> Tuning:
    at, p, did = _world(requests)
    return tune(SUM, LIKES.model_copy(update=more), inputs=p, labels=did, requests=at, seed=seed)


# What a top captures -------------------------------------------------------------------------------------------------


def _over_all_orders(scores: list[float], gains: list[float], *, top: int) -> float:
    """Mean over all orders that the scores allow."""
    orders = [
        o for o in itertools.permutations(range(len(scores))) if sorted(scores, reverse=True) == [scores[i] for i in o]
    ]
    return float(np.mean([sum(gains[i] for i in order[:top]) for order in orders]))


@pytest.mark.parametrize("top", [1, 2, 4, 9])
def test_a_top_captures_what_all_orders_of_tied_rows_bring_on_average(top: int) -> None:
    rng = np.random.default_rng(top)
    sizes = [1, 2, 5, 5, 6, 3]
    at = np.repeat(np.arange(6), sizes)
    scores, gains = rng.integers(0, 3, len(at)) / 2, rng.integers(-2, 7, (2, len(at))).astype(float)
    blocks = pack(at, slots=np.ones(len(at)), gains=gains)
    wanted = [[_over_all_orders([*scores[at == r]], [*part[at == r]], top=top) for r in range(6)] for part in gains]
    found = captured(blocks, scores, top=top)
    starts = np.concatenate([block.rows[:, 0] for block in blocks])  # requests stand block by block
    np.testing.assert_allclose(found[:, np.argsort(starts)], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("top", [1, 4, 11])
def test_a_row_of_weight_w_is_w_rows(top: int) -> None:
    rng = np.random.default_rng(3)
    at, weights = np.repeat(np.arange(40), 5), rng.integers(1, 5, 200)
    scores, gains = rng.integers(0, 4, 200) / 3, rng.integers(0, 3, (1, 200)).astype(float)
    packed = captured(pack(at, slots=weights.astype(np.float64), gains=weights * gains), scores, top=top)
    many = np.repeat(np.arange(200), weights)
    copies = captured(pack(at[many], slots=np.ones(len(many)), gains=gains[:, many]), scores[many], top=top)
    assert packed.sum() == pytest.approx(copies.sum(), rel=1e-12)


def test_scores_of_minus_infinity_stand_last_and_before_no_row_at_all() -> None:
    blocks = pack(np.zeros(3, dtype=np.int64), slots=np.ones(3), gains=np.array([[1.0, 2.0, 4.0]]))
    scores = np.array([-np.inf, 0.0, -np.inf])
    np.testing.assert_allclose(captured(blocks, scores, top=2), [[2 + 2.5]])
    np.testing.assert_allclose(captured(blocks, scores, top=3), [[7.0]])


def test_the_value_is_the_share_of_what_the_best_order_captures() -> None:
    at = np.repeat(np.arange(8), 3)  # eight times the same request, so that both halves are alike
    inputs = {"click": np.tile([0.9, 0.5, 0.1], 8), "like": np.tile([0.0, 0.0, 0.5], 8)}
    labels = {"click": np.tile([1.0, 0.0, 0.0], 8), "like": np.tile([0.0, 0.0, 1.0], 8)}
    found = tune(
        SUM,
        TuneConfig(utility={"click": 1, "like": 5}, top=1, trials=30),
        inputs=inputs,
        labels=labels,
        requests=at,
        seed=1,
    )
    assert found.trials[0].value == found.before.value == pytest.approx(1 / 5)
    assert found.after.value == pytest.approx(1.0) and found.gain.low == pytest.approx(4 / 5)
    assert found.parts == {"click": (1.0, 0.0), "like": (0.0, 1.0)}


# What is found -------------------------------------------------------------------------------------------------------


def test_a_world_where_a_like_is_worth_five_clicks_is_found_out() -> None:
    at, p, _ = _world(1500)
    found = tune(SUM, LIKES, inputs=p, labels=p, requests=at, seed=3)  # labels without luck: the expected actions
    assert found.best.inputs["like"].weight == pytest.approx(5, rel=0.1)
    assert found.best.inputs["click"].weight == 1  # only the ratio of the weights orders rows
    assert found.after.value > 0.999 and found.warning is None and found.chosen == found.best


@pytest.mark.parametrize("form", ["click_times", "product", "rank", "power"])
def test_every_form_gains_where_its_declared_numbers_neglect_what_counts(form: str) -> None:
    at, p, did = _world(1500)
    numbers = {"weight": 0.05} if form != "power" else {"exponent": 0.1}
    click = {} if form == "click_times" else {"exponent": 1} if form == "power" else {"weight": 1}
    fusion = Fusion.model_validate({"form": form, "inputs": {"click": click, "like": numbers}})
    found = tune(fusion, LIKES, inputs=p, labels=did, requests=at, seed=3)
    assert found.gain.low > 0.02 and found.chosen == found.best
    assert found.gain.value == pytest.approx(found.after.value - found.before.value, abs=1e-12)


def test_the_seed_decides_and_the_order_of_rows_never() -> None:
    at, p, did = _world(300)
    order = np.random.default_rng(0).permutation(len(at))
    moved = [{name: values[order] for name, values in columns.items()} for columns in (p, did)]
    for fusion in (SUM, RANK):
        found = tune(fusion, LIKES, inputs=p, labels=did, requests=at, seed=7)
        assert tune(fusion, LIKES, inputs=moved[0], labels=moved[1], requests=at[order], seed=7) == found
        assert tune(fusion, LIKES, inputs=p, labels=did, requests=at, seed=8).trials != found.trials


def test_the_search_turns_no_sign_and_wakes_no_zero() -> None:
    at, p, did = _world(200)
    p["hide"], p["share"] = p["like"] * 0.1, p["click"]
    given = {"click": {"weight": 0}, "like": {"weight": 2}, "hide": {"weight": -1}, "share": {"weight": 0}}
    fusion = Fusion.model_validate({"form": "sum", "inputs": given})
    found = tune(fusion, LIKES, inputs=p, labels=did, requests=at, seed=7)
    weights = {name: {trial.fusion.inputs[name].weight for trial in found.trials} for name in given}
    assert weights["click"] == weights["share"] == {0} and weights["like"] == {2}  # like sets the scale
    assert len(weights["hide"]) > 50 and all(w is not None and w < 0 for w in weights["hide"])


def test_exponents_and_offsets_are_searched_where_that_is_asked_for() -> None:
    at, p, did = _world(200)
    config = LIKES.model_copy(update={"numbers": ("weight", "offset")})
    found = tune(RANK, config, inputs=p, labels=did, requests=at, seed=7)
    offsets = {(t.fusion.inputs["click"].offset, t.fusion.inputs["like"].offset) for t in found.trials}
    assert len(offsets) > 50 and {t.fusion.inputs["like"].exponent for t in found.trials} == {None}


def test_luck_is_not_taken_for_a_gain() -> None:
    at, p, did = _world(400)
    nothing = {name: np.random.default_rng(2).permutation(values) for name, values in did.items()}
    found = tune(SUM, LIKES, inputs=p, labels=nothing, requests=at, seed=7)
    assert found.trials[found.best_trial].value > found.trials[0].value  # the best of sixty is always better somewhere
    assert found.gain.low < 0 and found.warning is not None and "inside the noise" in found.warning
    assert found.chosen == SUM != found.best


def test_numbers_that_are_right_already_stay() -> None:
    at, p, _ = _world(300)
    right = Fusion.model_validate({"form": "sum", "inputs": {"click": {"weight": 1}, "like": {"weight": 5}}})
    found = tune(right, LIKES, inputs=p, labels=p, requests=at, seed=7)
    assert found.best_trial == 0 and found.chosen == right and "no trial" in (found.warning or "")


def test_the_interval_is_the_one_that_drawing_requests_again_gives() -> None:
    rng = np.random.default_rng(4)
    wholes = rng.gamma(2, size=900)
    parts = wholes * rng.beta(2, 3, 900)
    found = ratio(parts, wholes)
    drawn = rng.integers(0, 900, (4000, 900))
    again = np.percentile(parts[drawn].sum(axis=1) / wholes[drawn].sum(axis=1), [2.5, 97.5])
    np.testing.assert_allclose([found.low, found.high], again, atol=0.1 * (found.high - found.low))


# Downsampled rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", [SUM, RANK], ids=["sum", "rank"])
def test_a_tenth_of_the_negatives_with_their_weights_leads_nearly_where_all_of_them_do(fusion: Fusion) -> None:
    at, p, did = _world(2500, size=25)
    heads = {"click": p["click"], "like": np.sqrt(p["like"])}  # no probability, so that the right weight is not 5
    positive = (did["click"] + did["like"]) > 0
    kept = positive | (np.random.default_rng(1).random(len(at)) < 0.1)
    weights = np.where(positive, 1.0, 10.0)[kept]
    p_kept, did_kept = ({name: values[kept] for name, values in columns.items()} for columns in (heads, did))
    config = LIKES.model_copy(update={"top": 10})
    full = tune(fusion, config, inputs=heads, labels=did, requests=at, seed=3).best
    found = tune(fusion, config, inputs=p_kept, labels=did_kept, requests=at[kept], weights=weights, seed=3).best
    blind = tune(fusion, config, inputs=p_kept, labels=did_kept, requests=at[kept], seed=3).best
    true = p["click"] + 5 * p["like"]
    blocks = pack(at, slots=np.ones(len(at)), gains=true[None])
    best = captured(blocks, true, top=10).sum()
    shares = [captured(blocks, fuse(f, heads, requests=at), top=10).sum() / best for f in (full, found, blind)]
    assert shares[0] - 0.01 < shares[1] and shares[2] < shares[1]


def test_requests_of_one_row_and_those_that_hold_nothing_are_left_out_and_counted() -> None:
    at, p, did = _world(100, size=3)
    did = {name: np.where(at < 10, 0.0, values) for name, values in did.items()}
    did["like"][at >= 10] = 1.0  # ten requests hold nothing, ninety something
    alone = np.arange(1000, 1007)
    more = [{name: np.r_[values, np.ones(7)] for name, values in columns.items()} for columns in (p, did)]
    found = tune(SUM, LIKES, inputs=more[0], labels=more[1], requests=np.r_[at, alone], seed=7)
    assert found.requests == {"single": 7, "empty": 10, "searched": 45, "judged": 45}
    assert found.trials == tune(SUM, LIKES, inputs=p, labels=did, requests=at, seed=7).trials


def test_a_label_that_does_not_apply_brings_nothing() -> None:
    at, p, did = _world(100)
    holes = np.random.default_rng(1).random(len(at)) < 0.2
    empty, zero = ({name: np.where(holes, fill, values) for name, values in did.items()} for fill in (NAN, 0.0))
    found = [tune(SUM, LIKES, inputs=p, labels=labels, requests=at, seed=7) for labels in (empty, zero)]
    assert found[0] == found[1]


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"utility": {"clikc": 1.0}}, r"tune\.utility\.clikc"),
        ({"numbers": ("exponent",)}, "weight under form sum"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused_before_it_starts(change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_tune(LIKES.model_copy(update=change), SUM, labels=["click", "like"])


def test_a_fusion_without_a_number_to_change_is_refused() -> None:
    alone = Fusion.model_validate({"form": "sum", "inputs": {"click": {"weight": 1}, "like": {"weight": 0}}})
    with pytest.raises(ConfigError, match="nothing to search"):
        check_tune(LIKES, alone, labels=["click", "like"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"click": [0.0] * 12, "like": [0.0] * 12}}, "found:  0 with two candidates"),
        ({"labels": {"click": [-1.0] * 12, "like": [0.0] * 12}}, "label click"),
        ({"weights": [0.0] * 12}, "sample weights"),
        ({"inputs": {"click": [np.inf] * 12, "like": [0.0] * 12}}, r"fusion\.inputs\.click"),
        ({"requests": list(range(12))}, "12 of one candidate"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(change: dict, said: str) -> None:
    rows = {"inputs": {"click": [0.5] * 12, "like": [0.1] * 12}, "labels": {"click": [1.0] * 12, "like": [0.0] * 12}}
    with pytest.raises(InputError, match=said):
        tune(SUM, LIKES, **{"requests": np.arange(12) // 3, **rows, **change}, seed=7)  # type: ignore[arg-type]


def test_a_utility_of_harm_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than 0"):
        TuneConfig(utility={"hide": -1, "click": 0}, top=3, trials=9)
    at, p, did = _world(20)
    config = TuneConfig(utility={"click": 1, "hide": -50}, top=12, trials=9)
    with pytest.raises(InputError, match="at best -"):
        tune(SUM, config, inputs=p, labels=did | {"hide": np.ones(len(at))}, requests=at, seed=7)


# The frontier --------------------------------------------------------------------------------------------------------


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a != b


@pytest.mark.parametrize("harm", [1.0, -1.0])
def test_the_frontier_holds_the_trials_that_none_beats_and_no_other(harm: float) -> None:
    rng = np.random.default_rng(6)
    trials = [Trial(SUM, 0.0, {"a": x / 20, "b": y / 20}) for x, y in rng.integers(0, 20, (150, 2))]
    trials.append(Trial(SUM, 0.0, {"a": 2.0, "b": NAN}))
    found = frontier(trials, utility={"a": 1.0, "b": harm}, parts=("a", "b"))
    points = {(t.parts["a"], harm * t.parts["b"]) for t in trials[:-1]}
    assert [(t.parts["a"], harm * t.parts["b"]) for t in found] == sorted(
        (p for p in points if not any(_beats(q, p) for q in points)), reverse=True
    )


def test_a_tunings_frontier_trades_clicks_for_likes_and_is_drawn_with_words() -> None:
    found = _tuned()
    clicks, likes = ([trial.parts[name] for trial in found.frontier] for name in ("click", "like"))
    assert len(clicks) > 5 and clicks == sorted(clicks, reverse=True) and likes == sorted(likes)
    drawing = ElementTree.fromstring(draw_frontier(found, key="valid"))
    name = {"svg": "http://www.w3.org/2000/svg"}
    assert drawing.get("role") == "img" and drawing.get("aria-labelledby") == "valid-title valid-desc"
    title, desc = drawing.find("svg:title", name), drawing.find("svg:desc", name)
    assert title is not None and title.text == "Trade-off between click and like"
    assert desc is not None and describe(found.best) in (desc.text or "")
    words = {text.text for text in drawing.findall("svg:text", name)}
    assert {"declared", "best", "click captured", "like captured"} <= words
    assert len(drawing.findall("svg:circle", name)) == len(found.trials) + len(found.frontier) + 1
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', draw_frontier(found)))
    assert colours == {"currentColor", "none"}  # follows the page, light or dark


def test_names_in_a_drawing_are_text_and_one_part_has_no_frontier() -> None:
    at, p, did = _world(100)
    config = TuneConfig(utility={"<b>": 1, "like": -1}, top=2, trials=8)
    drawing = draw_frontier(
        tune(SUM, config, inputs=p, labels={"<b>": did["click"], "like": did["like"]}, requests=at, seed=1)
    )
    assert "<b>" not in drawing and "&lt;b&gt; captured" in drawing and "like captured (less is better)" in drawing
    alone = tune(SUM, TuneConfig(utility={"click": 1}, top=2, trials=8), inputs=p, labels=did, requests=at, seed=1)
    assert alone.frontier == () and draw_frontier(alone) == ""


def test_a_tuning_is_plain_data_in_a_checkpoint_also_where_a_label_never_occurs() -> None:
    at, p, did = _world(100)
    config = TuneConfig(utility={"click": 1, "share": 9}, top=2, trials=8)
    found = tune(SUM, config, inputs=p, labels=did | {"share": np.zeros(len(at))}, requests=at, seed=1)
    data = json.loads(json.dumps(tuning_to_dict(found), allow_nan=False))
    assert data["parts"]["share"] == [None, None] and data["frontier"] == []
    assert len(data["trials"]) == 8 and data["trials"][0]["fusion"]["formula"] == "click + like"
    inner = {key: value for key, value in data["best"].items() if key != "formula"}
    assert Fusion.model_validate(inner) == found.best


# The search ----------------------------------------------------------------------------------------------------------


def test_a_search_starts_at_what_is_declared_fills_the_box_and_closes_in() -> None:
    points: list[npt.NDArray] = []

    def value(point: npt.NDArray) -> float:
        points.append(point)
        return -float(np.square(point - [1.0, -2.0]).sum())

    best = search(value, spans=np.array([4.0, 3.0]), trials=120, rng=np.random.default_rng(1))
    box = np.array(points[1:61]) / [4.0, 3.0]
    assert not points[0].any() and len(points) == 120
    np.testing.assert_array_equal(np.sort(np.floor((box + 1) * 30), axis=0)[:, 0], np.arange(60))
    np.testing.assert_allclose(points[best], [1.0, -2.0], atol=0.1)


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_a_search_of_few_trials_makes_so_many(trials: int) -> None:
    points: list[npt.NDArray] = []

    def value(point: npt.NDArray) -> float:
        points.append(point)
        return 0.0

    assert search(value, spans=np.ones(1), trials=trials, rng=np.random.default_rng(1)) == 0  # the first of equals
    assert len(points) == trials


def test_the_pages_tuning_is_what_the_code_finds() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fusion.md").read_text(encoding="utf-8")
    at, p, did = _world(4000)
    found = tune(SUM, LIKES.model_copy(update={"trials": 200}), inputs=p, labels=did, requests=at, seed=7)
    shown = [
        describe(found.best),
        *(f"{e.value:.1%} ({e.low:.1%} to {e.high:.1%})" for e in (found.before, found.after, found.gain)),
    ]
    assert [words for words in shown if words not in text] == []
