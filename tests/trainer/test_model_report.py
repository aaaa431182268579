"""The model report as text: what it says, what it leaves out, and that nothing in it can act."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.errors import ConfigError
from tests.reports.parse import Page, parse
from tests.trainer.reported import HOSTILE, checkpoint_of, evaluation_of, importances, scored_rows
from trainer.after import After
from trainer.evaluate import Evaluation, judged
from trainer.metrics import reliability
from trainer.report import render_model_page, write_model_report
from trainer.report.axes import Axis, axis_of, log_axis, symmetric_axis, ticks
from trainer.report.words import head_word, signed
from trainer.reporting import TaskReport


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    checkpoint = checkpoint_of(tuned=False)
    return {"validation": evaluation_of(checkpoint, number=2, seed=5), "test": evaluation_of(checkpoint, rows=20_000)}


@pytest.fixture(scope="module")
def html(evaluations: dict[str, Evaluation]) -> str:
    return render_model_page(checkpoint_of(), evaluations, importance=importances())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return parse(html)


def _text(html: str) -> str:
    return parse(html).texts("body")[0]


def test_tags_close_in_turn_and_ids_are_different(page: Page) -> None:
    void = {"path", "line", "circle", "polyline"}
    assert [tag for tag in page.unbalanced if tag not in void] == []
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_policy_allows_only_the_style_and_the_script_of_the_page(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None and policy[1].startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert inside is not None
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'")
    assert not re.search(r'(src|href)="(?!#)|style="|\son[a-z]+="|url\(|@import', html)


def test_hostile_names_are_text_wherever_they_stand(html: str, page: Page) -> None:
    assert "<script>alert" not in html
    said = HOSTILE.replace("\u202e", "\\u202e")
    for table in ("encoders", "importance", "broken", "dropped", "segment-scene-test"):
        assert said in page.texts("table", data_csv=table)[0]
    assert "\u202e" not in html


def test_the_first_screen_names_model_days_and_the_verdict_of_each_head(
    page: Page, evaluations: dict[str, Evaluation]
) -> None:
    assert page.texts("h1")[0].startswith("mmoe ")
    first = page.texts("section", id="top")[0]
    assert "Trained on 2024-05-01 to 2024-05-02, judged on 2024-05-04" in first
    assert "0f" * 32 in first and "3e" * 32 in first
    for task in evaluations["test"].tasks:
        for value in (task.raw_traffic.pcoc, task.calibrated_traffic.pcoc):
            assert f"{value:.3f}" in first
        assert f"{task.calibrated_traffic.auc:.4f}" in first


def test_the_verdict_speaks_of_the_last_evaluation_and_the_first_is_folded(page: Page) -> None:
    assert page.texts("h1")[0].endswith("on test")
    assert page.texts("h2")[5:7] == ["On test: 2024-05-04", "On validation: 2024-05-03"]
    assert "Chosen on these days: the epoch to keep, the fusion." in page.texts("section", id="on-2")[0]


def _task(pcoc: float, *, rows: int, loss: float = 0.9) -> TaskReport:
    y = np.arange(rows) % 10 == 0
    found = evaluation_of(checkpoint_of(tuned=False), rows=500).tasks[0]
    bins = reliability(y.astype(float), np.full(rows, 0.1))
    final = replace(found.calibrated_traffic, rows=rows, rate=0.1, pcoc=pcoc, normalised_entropy=loss)
    return replace(found, bins=bins, calibrated_traffic=final)


@pytest.mark.parametrize(
    ("pcoc", "rows", "loss", "word"),
    [
        (1.019, 1_000_000, 0.9, "calibrated"),
        (1.03, 1_000_000, 0.9, "predicts too much"),
        (0.97, 1_000_000, 0.9, "predicts too little"),
        (1.03, 1000, 0.9, "within chance, more than 2% off"),  # the rate of 0.1 is known to 0.0095 only
        (1.0, 1000, 1.0, "no better than the base rate"),
        (float("nan"), 1000, float("nan"), "not judged: no positives"),
    ],
)
def test_a_head_is_off_where_chance_does_not_explain_it(pcoc: float, rows: int, loss: float, word: str) -> None:
    assert head_word(_task(pcoc, rows=rows, loss=loss))["word"] == word


def test_a_biased_head_turns_the_verdict(evaluations: dict[str, Evaluation]) -> None:
    one = evaluations["test"]
    off = replace(one.tasks[1], calibrated_traffic=replace(one.tasks[1].calibrated_traffic, pcoc=3.0))
    told = {"test": replace(one, tasks=[one.tasks[0], off, *one.tasks[2:]])}
    page = parse(render_model_page(checkpoint_of(), told))
    assert "heads off on test" in page.texts("h1")[0]
    assert "Off: like" in page.texts("section", id="top")[0]
    assert any(a.get("class") == "verdict refused" for _, a, _ in page.elements)


def test_the_bias_of_an_unweighted_watch_head_is_said(evaluations: dict[str, Evaluation]) -> None:
    assert "The loss is weighted" in _text(render_model_page(checkpoint_of(), evaluations))
    checkpoint = checkpoint_of(watch="unweighted")
    told = {"test": evaluation_of(checkpoint)}
    assert "which is at most the mean" in _text(render_model_page(checkpoint, told))


def test_days_that_were_trained_on_are_said_to_flatter(evaluations: dict[str, Evaluation]) -> None:
    told = {"test": replace(evaluations["test"], seen_in_training=["2024-05-01"])}
    assert "trained on 2024-05-01: unless their rows were split" in _text(render_model_page(checkpoint_of(), told))


def test_without_days_to_judge_on_the_page_says_so() -> None:
    page = parse(render_model_page(checkpoint_of(gates=False, tuned=False), {}))
    assert page.texts("h1")[0] == "mmoe Not judged"
    text = page.texts("body")[0]
    assert "has no gates, or they were not recorded" in text
    assert "no data: not asked for" in text  # importance


def test_what_a_model_lacks_is_said_or_left_out(evaluations: dict[str, Evaluation]) -> None:
    made = checkpoint_of()
    bare = replace(made, after=After(), history={}, plan=replace(made.plan, dropped={}))
    one = replace(evaluations["test"], watch=None, fused=None)
    tasks = [replace(task, segments={}) for task in one.tasks]
    text = _text(render_model_page(bare, {"test": replace(one, tasks=tasks)}))
    for said in (
        "no epoch was recorded",
        "no fusion is declared",
        "no such head",
        "no segment is declared",
        "None: every",
    ):
        assert said in text


def test_a_head_without_positives_has_no_numbers_rather_than_wrong_ones() -> None:
    checkpoint, scored = checkpoint_of(tuned=False), scored_rows(rows=2000)
    scored.labels[:, 1] = 0.0
    html = render_model_page(checkpoint, {"test": judged(checkpoint, scored, days=[])})
    assert "not judged: no positives" in html
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.S))


def test_gates_show_weights_entropy_and_dead_experts(page: Page) -> None:
    row = next(text for text in page.texts("tr") if text.startswith("click") and "0.295" in text)
    assert row.split() == ["click", "0.700", "0.295", "0.005", "0.630", "57.3%", "12.5%"]
    assert "Dead experts, which no head uses: 3." in page.texts("section", id="gates")[0]


def test_without_dead_experts_the_gates_say_so() -> None:
    made = checkpoint_of()
    gates = made.history["gates"] | {"dead": []}
    assert "No dead experts." in _text(render_model_page(replace(made, history=made.history | {"gates": gates}), {}))


def test_importances_stand_by_what_their_loss_costs(page: Page) -> None:
    rows = [t for t in page.texts("tr") if "0.0010 " in t and "0.00010" in t]
    assert [row.split()[0] for row in rows] == ["profile:user", "context", "</script><script>alert(1)</script>"]
    assert "+0.00900" in rows[0] and "-0.00002" in rows[2]


def test_the_frontier_of_the_checkpoints_data_is_drawn(page: Page) -> None:
    fusion = page.texts("section", id="fusion")[0]
    assert "Trade-off between click and like" in fusion
    assert "1 click + 5 like" in fusion and "Best of 60 tried" in fusion


def test_a_search_of_many_trials_is_thinned_and_the_best_stays(evaluations: dict[str, Evaluation]) -> None:
    made = checkpoint_of()
    data: dict[str, Any] = dict(made.after.tuning or {})
    data["trials"] = [data["trials"][0]] * 4000 + data["trials"]
    many = replace(made, after=replace(made.after, tuning=data))
    html = render_model_page(many, {})
    assert html.count("fill-opacity") < 1100
    assert "Best of 4060 tried" in _text(html)


def test_every_drawing_has_a_text_and_its_numbers_in_a_table(page: Page) -> None:
    drawings = [a for tag, a, _ in page.elements if tag == "svg" and a.get("role") == "img"]
    assert len(drawings) > 15
    assert all(a.get("aria-label") or a.get("aria-labelledby") for a in drawings)
    names = {a["data-csv"] for tag, a, _ in page.elements if tag == "table"}
    assert {"epochs", "reliability-test", "segment-scene-test", "watch-test", "durations", "frontier"} <= names


def test_the_same_model_gives_the_same_page_and_a_small_one(html: str, evaluations: dict[str, Evaluation]) -> None:
    assert render_model_page(checkpoint_of(), evaluations, importance=importances()) == html
    assert len(html.encode()) < 300_000


def test_a_report_is_written_whole_into_a_new_folder_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    write_model_report(checkpoint_of(tuned=False), {}, out=out)
    assert [p.name for p in out.parent.iterdir()] == ["report.html"]
    with pytest.raises(ConfigError, match="change --out"):
        write_model_report(checkpoint_of(tuned=False), {}, out=out / "beneath")


@pytest.mark.parametrize(
    ("axis", "wanted"),
    [
        (Axis(0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis(0.001, 0.2, log=True), ["0.001", "0.01", "0.1"]),
        (Axis(0.9, 1.12, log=True), ["0.9", "0.95", "1", "1.05", "1.1"]),
        (Axis(2, 60, log=True), ["2", "5", "10", "20", "50"]),
        (Axis(-0.02, 0.11), ["0", "0.05", "0.1"]),
    ],
)
def test_an_axis_has_round_numbers(axis: Axis, wanted: list[str]) -> None:
    assert [text for _, text in ticks(axis)] == wanted


def test_an_axis_holds_its_values_and_what_is_outside_stands_at_the_edge() -> None:
    for axis in (axis_of([3.0, 8.0]), log_axis([3.0, 8.0, 0.0]), axis_of([5.0]), log_axis([5.0]), axis_of([])):
        assert axis.low < axis.high
        assert axis.place(axis.low) == 0 and axis.place(axis.high) == pytest.approx(1)
        assert axis.place(-1e9) == 0 and axis.place(1e9) == 1
    ratios = symmetric_axis([0.5, 1.2], least=1.1, most=4.0)
    assert ratios.place(1.0) == pytest.approx(0.5) and ratios.low < 0.5
    assert symmetric_axis([100.0], least=1.1, most=4.0).high == pytest.approx(4)


def test_a_change_keeps_its_sign_and_three_digits() -> None:
    assert [signed(v) for v in (0.1234567, -0.00123, 0.0, float("nan"))] == ["+0.123", "-0.00123", "0", "no data"]
