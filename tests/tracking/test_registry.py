"""Versions and aliases on a real store: again is safe (P2), moves are compare-and-set."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from onerun.domain import names
from onerun.domain.errors import AliasMoved
from onerun.tracking import moves as ledger_tags
from onerun.tracking.registry import ledger, make_version, move_alias, version_of_alias, versions
from onerun.tracking.runs import client


@pytest.fixture
def model() -> str:
    return f"model {uuid4().hex[:8]}"


def new_run(run_id: str) -> str:
    """Returns: another run in the experiment of `run_id`."""
    return str(client().create_run(client().get_run(run_id).info.experiment_id).info.run_id)


def logged(run_id: str) -> str:
    """Returns: the id of a logged model without files, which is all that a version needs."""
    experiment = client().get_run(run_id).info.experiment_id
    return str(
        client().create_logged_model(experiment, name="model", source_run_id=run_id).model_id
    )


def version_of(model: str, run_id: str) -> str:
    return make_version(model, logged(run_id), run_id)


def test_p2_one_run_makes_one_version(model: str, run_id: str) -> None:
    model_id = logged(run_id)
    first = make_version(model, model_id, run_id, "words", {"team": "geo"})
    assert make_version(model, model_id, run_id, "words", {"team": "geo"}) == first == "1"
    version = client().get_model_version(model, first)
    assert (version.run_id, version.description, version.tags) == (run_id, "words", {"team": "geo"})


def test_p2_concurrent_callers_end_with_one_version(model: str, run_id: str) -> None:
    model_id = logged(run_id)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: make_version(model, model_id, run_id), range(8)))
    assert made == {"1"}
    assert versions(model) == ["1"]


def test_alias_of_nothing(model: str, run_id: str) -> None:
    assert version_of_alias(model, "champion") is None
    version_of(model, run_id)
    assert version_of_alias(model, "champion") is None


def test_a_move_is_written_on_both_versions_and_in_the_ledger(model: str, run_id: str) -> None:
    one, two = version_of(model, run_id), version_of(model, new_run(run_id))
    move_alias(model, "champion", one, None, "the first")
    move_alias(model, "champion", two, one, "better", run_id, numbers={"rmse": 1.5})
    assert version_of_alias(model, "champion") == two
    assert (
        client().get_model_version(model, two).tags[names.TAG_PREVIOUS.format(alias="champion")]
        == one
    )
    assert (
        client().get_model_version(model, one).tags[names.TAG_REPLACED_BY.format(alias="champion")]
        == two
    )
    moves = ledger(model, "champion")
    assert [(move.from_version, move.to_version) for move in moves] == [(None, one), (one, two)]
    assert (moves[1].why, moves[1].run_id, moves[1].numbers) == ("better", run_id, {"rmse": 1.5})


def test_moving_again_is_nothing(model: str, run_id: str) -> None:
    one = version_of(model, run_id)
    assert move_alias(model, "champion", one, None, "first") is not None
    assert move_alias(model, "champion", one, None, "again") is None
    assert len(ledger(model)) == 1


def test_a_stale_expectation_is_refused_and_names_the_holder(model: str, run_id: str) -> None:
    one, two, three = (version_of(model, run) for run in (run_id, new_run(run_id), new_run(run_id)))
    move_alias(model, "champion", one, None, "first")
    move_alias(model, "champion", two, one, "second")
    with pytest.raises(AliasMoved, match=f"expected to find version {one}, found version {two}"):
        move_alias(model, "champion", three, one, "late")
    assert version_of_alias(model, "champion") == two
    assert len(ledger_tags.entries(model)) == 2


def test_of_eight_at_once_one_wins(model: str, run_id: str) -> None:
    runs = [run_id] + [new_run(run_id) for _ in range(7)]
    made = [version_of(model, run) for run in runs]

    def attempt(version: str) -> bool:
        try:
            return move_alias(model, "champion", version, None, "race") is not None
        except AliasMoved:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, made))
    assert sum(won) == 1
    assert version_of_alias(model, "champion") == made[won.index(True)]
    assert len(ledger_tags.entries(model)) == 1


def test_of_eight_that_insist_no_entry_is_lost(model: str, run_id: str) -> None:
    runs = [run_id] + [new_run(run_id) for _ in range(7)]
    made = [version_of(model, run) for run in runs]

    def insist(version: str) -> None:
        while True:
            try:
                move_alias(model, "champion", version, version_of_alias(model, "champion"), "race")
            except AliasMoved:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(insist, made))
    moves = ledger(model, "champion")
    assert sorted(move.to_version for move in moves) == sorted(made)
    assert [move.from_version for move in moves] == [None] + [
        move.to_version for move in moves[:-1]
    ]
    assert version_of_alias(model, "champion") == moves[-1].to_version
