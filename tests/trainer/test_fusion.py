"""Fusion: each form against a loop over rows and requests, what it refuses, and the examples of docs/fusion.md."""

import json
import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from pydantic import ValidationError

from headrace.config.fusion import Fusion, TuneConfig
from headrace.errors import ConfigError, InputError
from trainer.fusion import check_fusion, describe, fuse, request_ranks

NAN = float("nan")
FORMS = {
    "sum": {"click": {"weight": 1.0}, "like": {"weight": 5.0}, "watch": {"weight": 0.02}},
    "click_times": {"click": {}, "like": {"weight": 5.0}, "watch": {"weight": 0.02}},
    "product": {
        "click": {"weight": 2.0, "exponent": 1.5},
        "like": {"weight": 4.0},
        "watch": {"weight": 0.1, "exponent": 0.5},
    },
    "rank": {
        "click": {"weight": 1.0, "exponent": 0.7},
        "like": {"weight": 2.0, "offset": 10.0},
        "watch": {"weight": 0.5},
    },
    "power": {"click": {"exponent": 1.0}, "like": {"exponent": 0.5}, "watch": {"exponent": 0.3}},
}


def _fusion(form: str, **more: str) -> Fusion:
    return Fusion.model_validate({"form": form, "inputs": FORMS[form], **more})


def _rows(seed: int = 3, *, rows: int = 60, missing: bool = True) -> tuple[dict[str, npt.NDArray], npt.NDArray]:
    """Inputs with many ties and, in watch, NaN; requests of uneven size."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, npt.NDArray] = {name: rng.integers(1, 8, rows) / 10 for name in ("click", "like")}
    inputs["watch"] = rng.integers(1, 9, rows) * 7.0
    if missing:
        inputs["watch"][rng.random(rows) < 0.3] = NAN
    return inputs, rng.integers(-3, 9, rows) ** 2


def _mean_rank(value: float, others: list[float]) -> float:
    """Places that the value can take when ties are broken at random, on average; `others` hold the value itself."""
    above = sum(other > value for other in others)
    return above + (1 + sum(other == value for other in others)) / 2


def _naive(fusion: Fusion, inputs: dict[str, np.ndarray], requests: np.ndarray) -> list[float]:
    scores = []
    for row, request in enumerate(requests):
        total, factor = 0.0, 1.0
        for name, given in fusion.inputs.items():
            p = float(inputs[name][row])
            w = 1.0 if given.weight is None else given.weight
            a = 1.0 if given.exponent is None else given.exponent
            b = 0.0 if given.offset is None else given.offset
            if math.isnan(p) or (fusion.form == "click_times" and name == "click"):
                continue
            if fusion.form == "rank":
                same = [float(v) for v, r in zip(inputs[name], requests, strict=True) if r == request]
                total += w / (_mean_rank(p, same) ** a + b)
            total += w * p if fusion.form in ("sum", "click_times") else 0.0
            factor *= {"product": (1 + w * p) ** a, "power": p**a}.get(fusion.form, 1.0)
        if fusion.form == "click_times":
            total = float(inputs["click"][row]) * (1 + total)
        scores.append(factor if fusion.form in ("product", "power") else total)
    return scores


@pytest.mark.parametrize("form", FORMS)
def test_each_form_equals_a_loop_over_rows_with_ties_and_heads_that_do_not_apply(form: str) -> None:
    fusion = _fusion(form, missing="neutral")
    inputs, requests = _rows()
    found = fuse(fusion, inputs, requests=requests)
    np.testing.assert_allclose(found, _naive(fusion, inputs, requests), rtol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_rows_changes_no_bit_of_a_score(form: str) -> None:
    fusion = _fusion(form, missing="neutral")
    inputs, requests = _rows(rows=997)
    order = np.random.default_rng(1).permutation(997)
    found = fuse(fusion, inputs, requests=requests)
    moved = fuse(fusion, {name: values[order] for name, values in inputs.items()}, requests=requests[order])
    np.testing.assert_array_equal(moved, found[order])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("raised", ["click", "like", "watch"])
def test_a_row_whose_input_rises_scores_higher_and_lifts_no_other(form: str, raised: str) -> None:
    inputs, _ = _rows(missing=False)
    requests = np.zeros(60, dtype=np.int64)
    more = {name: values.copy() for name, values in inputs.items()}
    more[raised][7] *= 1.9
    before, after = (fuse(_fusion(form), values, requests=requests) for values in (inputs, more))
    assert after[7] > before[7]
    assert (np.delete(after, 7) <= np.delete(before, 7)).all()


def test_tied_rows_share_the_mean_of_their_ranks_within_their_request() -> None:
    ranks = request_ranks([0.5, 0.9, 0.5, 0.1, 0.5, NAN], requests=[4, 4, 4, 4, -2, 4])
    np.testing.assert_array_equal(ranks, [2.5, 1, 2.5, 4, 1, NAN])


def test_ranks_of_downsampled_rows_are_stretched_alike_for_positives_and_negatives() -> None:
    ranks = request_ranks([0.9, 0.5, 0.7, 0.2], requests=[0, 0, 0, 1], weights=[1.0, 10.0, 10.0, 4.0])
    np.testing.assert_allclose(ranks, [0.5 * 7 + 0.5, 2.5 * 7 + 0.5, 1.5 * 7 + 0.5, 0.5 * 4 + 0.5])
    whole = request_ranks([0.9, 0.5, 0.7, 0.2], requests=[0, 0, 0, 1])
    np.testing.assert_array_equal(whole, request_ranks([0.9, 0.5, 0.7, 0.2], requests=[0, 0, 0, 1], weights=[1.0] * 4))


def test_no_rows_have_no_scores() -> None:
    for form in FORMS:
        inputs = {name: np.zeros(0) for name in FORMS[form]}
        assert fuse(_fusion(form), inputs, requests=np.zeros(0, dtype=np.int64)).shape == (0,)


def test_products_whose_factors_leave_float64_are_computed_where_the_score_does_not() -> None:
    fusion = Fusion.model_validate(
        {"form": "power", "inputs": {"click": {"exponent": 200}, "price": {"exponent": 200}}}
    )
    assert fuse(fusion, {"click": [1e-3], "price": [1e3]})[0] == pytest.approx(1.0)
    with pytest.raises(InputError, match="beyond all float64"):
        fuse(fusion, {"click": [0.9], "price": [1e3]})


def test_a_probability_of_zero_makes_a_product_of_powers_zero() -> None:
    fusion = Fusion.model_validate({"form": "power", "inputs": {"click": {"exponent": 1}, "price": {"exponent": -0.5}}})
    np.testing.assert_array_equal(fuse(fusion, {"click": [0.0, 0.5], "price": [4.0, 4.0]}), [0.0, 0.25])
    with pytest.raises(InputError, match=r"price.*\n.*0 in 1 of 2 rows, the first is row 1"):
        fuse(fusion, {"click": [0.5, 0.5], "price": [4.0, 0.0]})


def test_an_exponent_of_zero_leaves_an_input_out_even_where_it_is_zero() -> None:
    fusion = Fusion.model_validate({"form": "power", "inputs": {"click": {"exponent": 1}, "like": {"exponent": 0}}})
    np.testing.assert_allclose(fuse(fusion, {"click": [0.5], "like": [0.0]}), [0.5])


def test_a_head_that_does_not_apply_is_neutral_but_refused_in_a_product_of_powers() -> None:
    inputs = {"click": [0.5, 0.5], "like": [0.1, 0.1], "watch": [NAN, 0.0]}
    for form in ("sum", "click_times", "product"):
        absent, none = fuse(_fusion(form), inputs)
        assert absent == none  # as though nothing were expected
    with pytest.raises(InputError, match="missing: neutral"):
        fuse(_fusion("power"), inputs)
    absent, _ = fuse(_fusion("power", missing="neutral"), inputs)
    assert absent == pytest.approx(0.5 * 0.1**0.5)


@pytest.mark.parametrize(
    ("form", "broken", "said"),
    [
        ("sum", {"watch": [NAN]}, "missing: neutral"),
        ("sum", {"like": [math.inf]}, "inf in 1 of 1 rows"),
        ("click_times", {"click": [NAN]}, "it multiplies all others"),
        ("product", {"like": [-0.1]}, "0 or more under form product"),
        ("power", {"like": [-0.1]}, "0 or more under form power"),
        ("rank", {}, "rows without a request"),
    ],
)
def test_values_that_a_form_cannot_take_are_refused_with_input_and_row(form: str, broken: dict, said: str) -> None:
    inputs = {"click": [0.5], "like": [0.1], "watch": [3.0]} | broken
    with pytest.raises(InputError, match=said):
        fuse(_fusion(form, missing="refuse"), inputs)


def test_arrays_of_different_length_are_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="one length"):
        fuse(_fusion("sum"), {"click": [0.5], "like": [0.1, 0.2], "watch": [1.0]})
    with pytest.raises(ValueError, match="shapes"):
        request_ranks([0.5], requests=[1, 2])


def test_a_name_that_is_neither_head_nor_column_is_refused_with_the_nearest() -> None:
    fusion = _fusion("sum")
    assert check_fusion(fusion, heads=["click", "like"], columns=["watch", "like"]) == ("watch",)
    with pytest.raises(ConfigError, match="did you mean watch_s"):
        check_fusion(fusion, heads=["click", "like"], columns=["watch_s"])
    with pytest.raises(ConfigError, match=r"fusion\.inputs\.watch"):
        fuse(fusion, {"click": [0.5], "like": [0.1]})


@pytest.mark.parametrize(
    ("form", "inputs", "said"),
    [
        ("sum", {}, "inputs"),
        ("sum", {"click": {}}, "no weight"),
        ("sum", {"click": {"weight": NAN}}, "finite"),
        ("sum", {"click": {"weight": 1, "exponent": 2}}, "found exponent, wanted only weight"),
        ("power", {"click": {"exponent": 1, "weight": 2}}, "found weight, wanted only exponent"),
        ("power", {"click": {}}, "no exponent"),
        ("click_times", {"click": {}}, "at least one more"),
        ("click_times", {"like": {"weight": 1}, "share": {"weight": 1}}, "wanted 'click'"),
        ("click_times", {"click": {"weight": 1}, "like": {"weight": 1}}, "it multiplies as it is"),
        ("product", {"hide": {"weight": -1}}, "negative exponent"),
        ("rank", {"hide": {"weight": 1, "exponent": -1}}, "negative weight"),
        ("rank", {"hide": {"weight": 1, "offset": -1}}, "offset"),
        ("sum", {"click": {"wieght": 1}}, "wieght"),
        ("eval", {"click": {"weight": 1}}, "form"),
    ],
)
def test_a_fusion_that_means_nothing_is_refused_when_it_is_read(form: str, inputs: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Fusion.model_validate({"form": form, "inputs": inputs})


def test_another_head_may_multiply_and_only_where_the_form_has_one() -> None:
    fusion = Fusion.model_validate(
        {"form": "click_times", "click": "open", "inputs": {"open": {}, "pay": {"weight": 9}}}
    )
    np.testing.assert_allclose(fuse(fusion, {"open": [0.5], "pay": [0.1]}), [0.5 * 1.9])
    with pytest.raises(ValidationError, match="click_times only"):
        Fusion.model_validate({"form": "sum", "click": "open", "inputs": {"open": {"weight": 1}}})


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("sum", "click + 5 * like + 0.02 * watch"),
        ("click_times", "click * (1 + 5 * like + 0.02 * watch)"),
        ("product", "(1 + 2 * click)^1.5 * (1 + 4 * like) * (1 + 0.1 * watch)^0.5"),
        ("rank", "1 / rank(click)^0.7 + 2 / (rank(like) + 10) + 0.5 / rank(watch)"),
        ("power", "click * like^0.5 * watch^0.3"),
    ],
)
def test_a_fusion_is_told_as_a_formula_and_travels_as_json(form: str, said: str) -> None:
    fusion = _fusion(form)
    assert describe(fusion) == said
    assert Fusion.model_validate(json.loads(fusion.model_dump_json())) == fusion
    assert Fusion.model_validate(json.loads(fusion.model_dump_json(exclude_none=True))) == fusion


def test_harm_is_told_with_a_minus() -> None:
    fusion = Fusion.model_validate(
        {"form": "click_times", "inputs": {"click": {}, "hide": {"weight": -8}, "like": {"weight": -1}}}
    )
    assert describe(fusion) == "click * (1 - 8 * hide - 1 * like)"


DOCS = (Path(__file__).parents[2] / "docs" / "fusion.md").read_text(encoding="utf-8")


def _doc_blocks(word: str) -> list[dict]:
    """Indented blocks of the page that start with a key, as YAML."""
    blocks = re.findall(rf"^ {{4}}{word}:.*\n(?:^ {{4}}.*\n)*", DOCS, re.MULTILINE)
    return [yaml.safe_load(re.sub(r"^ {4}", "", block, flags=re.MULTILINE)) for block in blocks]


def test_every_fusion_and_tuning_that_the_page_shows_is_valid_and_every_form_is_shown() -> None:
    fusions = [Fusion.model_validate(block["fusion"]) for block in _doc_blocks("fusion")]
    assert {fusion.form for fusion in fusions} == set(FORMS)
    assert [TuneConfig.model_validate(block["tune"]) for block in _doc_blocks("tune")]


def test_the_pages_worked_example_is_what_the_code_computes() -> None:
    table = re.search(r"^\| item \|.*\n\|[-| :]+\n((?:\|.*\n)+)", DOCS, re.MULTILINE)
    assert table is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    cells = np.array([[float(cell) if cell else NAN for cell in row[1:]] for row in rows]).T
    inputs = dict(zip(("click", "like", "watch", "price"), cells[:4], strict=True))
    fusions = {block["fusion"]["form"]: Fusion.model_validate(block["fusion"]) for block in _doc_blocks("fusion")}
    for form, shown in zip(FORMS, cells[4:], strict=True):
        np.testing.assert_allclose(shown, np.round(fuse(fusions[form], inputs, requests=[1] * len(rows)), 4), atol=1e-9)
        assert describe(fusions[form]) in DOCS
