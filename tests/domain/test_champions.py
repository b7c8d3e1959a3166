"""A champion that may have learned from the test rows is named as such."""

import pytest

from onerun.config.recipe import Data, Split
from onerun.domain.gates import overlap_caveat
from onerun.tracking.provenance import flattened

HERE, ELSEWHERE = "a" * 64, "b" * 64


def params(**split: object) -> dict[str, str]:
    """What a run of that split has logged."""
    return flattened({"split": Split.model_validate(split).model_dump(mode="json")})


@pytest.mark.parametrize(
    ("then", "now", "digest", "words"),
    [
        ({}, {}, HERE, ""),
        ({}, {}, ELSEWHERE, ""),  # by hash: a row stays in its part when others come
        ({}, {"validation": 0.3}, HERE, ""),
        ({"seed": 42}, {"seed": 7}, HERE, "was divided otherwise (split.seed 42, now 7)"),
        ({"test": 0.2}, {"test": 0.3}, HERE, "was divided otherwise (split.test 0.2, now 0.3)"),
        ({"columns": ["id"]}, {"columns": ["id"]}, ELSEWHERE, ""),
        ({}, {"columns": ["id"]}, HERE, 'was divided otherwise (split.columns [], now ["id"])'),
        ({"by": "random"}, {"by": "random"}, HERE, ""),
        (
            {"by": "random"},
            {"by": "random"},
            ELSEWHERE,
            "divided another table, and split.by: random depends on",
        ),
        (
            {"by": "random"},
            {"by": "hash"},
            HERE,
            "was divided otherwise (split.by random, now hash)",
        ),
        ({"by": "time", "seed": 1}, {"by": "time", "seed": 2}, ELSEWHERE, ""),
    ],
)
def test_what_it_may_have_seen(
    then: dict[str, object], now: dict[str, object], digest: str, words: str
) -> None:
    data = Data(source="x.csv", target="y", time="day")
    told = overlap_caveat(
        data, Split.model_validate(now), HERE, params(**then) | {"data.time": "day"}, digest
    )
    assert words in told and bool(told) == bool(words)
    assert not told or told.endswith(
        "it may have learned from these test rows and look better than it is"
    )


def test_a_champion_of_another_make_is_given_the_benefit_of_the_doubt() -> None:
    assert (
        overlap_caveat(Data(source="x.csv", target="y"), Split(), HERE, {"alpha": "1"}, None) == ""
    )
