"""The report stands alone, harms nobody and tells what was found."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from onerun.config.recipe import Recipe
from onerun.domain.evaluation_details import EvaluationDetails, worst_rows
from onerun.domain.importance import Importance
from onerun.domain.predictions import Predictions, TrueValues
from onerun.domain.references import Evaluation, GateResult, Snapshot, TrainedModel
from onerun.domain.report.page import metric_rows, render
from onerun.domain.slices import Slice

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def findings(**changed: Any) -> EvaluationDetails:
    recipe = Recipe.model_validate(
        {
            "name": "evil <b>",
            "description": EVIL,
            "data": {"source": EVIL, "target": EVIL},
            "model": {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": EVIL}},
        }
    )
    table = pd.DataFrame({EVIL: [EVIL] * 3})
    evaluation = Evaluation(
        task="regression",
        primary="rmse",
        metrics={"rmse": 2.0, "r2": 0.5},
        baseline_metrics={"rmse": 4.0, "r2": -1e-5},
        champion_metrics=changed.pop("champion", None),
        champion_version="7",
        gates=(
            GateResult(rule=EVIL, held=False, reason=EVIL),
            GateResult(rule="r2 >= 0.1", held=True, reason="fine"),
        ),
    )
    return EvaluationDetails(
        "run-1",
        recipe,
        Snapshot(
            uri="x",
            digest="0" * 64,
            rows=1234,
            columns={EVIL: "double"},
            source=EVIL,
            dropped_rows=5,
        ),
        TrainedModel(model_id="m-1", model_uri="models:/m-1", rows={"training": 1000, "test": 234}),
        evaluation,
        [Slice(EVIL, EVIL, 3, {"rmse": 1.0})],
        Importance("gain", "share", {EVIL: 1.0}),
        *worst_rows(
            TrueValues(np.zeros(3)), Predictions(np.array([0.0, 2, 1])), table, np.arange(3), [EVIL]
        ),
        **changed,
    )


class Tags(HTMLParser):
    """Collects tags and what they would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_values_are_escaped_and_nothing_is_loaded() -> None:
    page = render(findings(), {"roc.png": b"png"})
    tags = Tags(page)
    assert not tags.names & {"script", "link", "iframe", "object", "b2"}
    assert tags.loads == ["data:image/png;base64,cG5n"]
    assert "http:" not in page and "https:" not in page and "url(" not in page
    assert "{{ 7*7 }}" in page and "&lt;script&gt;alert(1)" in page


def test_the_page_tells_what_was_found() -> None:
    words = " ".join(
        re.sub(r"<style>.*?</style>|<[^>]+>", " ", render(findings(), {}), flags=re.S).split()
    )
    for expected in (
        "1 of 2 gates failed",
        "1,234 rows",
        "5 rows without target left out",
        "training 1,000, test 234",
        "0" * 64,
        "−50 % better",
        "could not be scored",
        "alpha",
        "Run run-1",
    ):
        assert expected in words


def test_the_champion_takes_the_place_of_the_baseline_in_the_comparison() -> None:
    rows = list(metric_rows(findings(champion={"rmse": 1.0, "r2": 0.5})))
    assert (rows[0].name, rows[0].change, rows[0].better) == ("rmse", "+100 %", False)
    assert (rows[1].change, rows[1].better) == ("equal", None)


def test_a_share_of_nearly_nothing_is_told_as_a_difference() -> None:
    assert list(metric_rows(findings()))[1].change == "+0.5"


def test_the_same_findings_give_the_same_page_and_the_same_json() -> None:
    assert render(findings(), {}) == render(findings(), {})
    kept = json.loads(findings().as_json())
    assert kept["slices"][0]["rows"] == 3
    assert kept["bootstrap"]["resamples"] == 2000


@pytest.mark.parametrize("probabilities", [True, False])
def test_the_worst_rows_of_a_classification_are_the_surest_mistakes(probabilities: bool) -> None:
    wide = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]])
    said = Predictions(wide.argmax(1), wide if probabilities else None)
    y_true, table = TrueValues(np.array([1, 0, 1]), ("no", "yes")), pd.DataFrame({"x": [1, 2, 3]})
    loss, rows = worst_rows(y_true, said, table, np.array([10, 20, 30]), ["x"])
    assert [row.row for row in rows][:2] == [10, 20]
    assert rows[0].actual == "yes"
    assert rows[0].predicted == ("no (90.0%)" if probabilities else "no")
    assert loss.startswith("log loss" if probabilities else "wrong")
