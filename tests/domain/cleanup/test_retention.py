"""P4, decided: whatever the policy, nothing protected is ever in the plan; rules keep what they say."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onerun.config.loading import load_policy
from onerun.config.policy import Keep, Policy, Select
from onerun.domain.cleanup.families import with_families
from onerun.domain.cleanup.inventory import Experiment, Group, LoggedModel, RegisteredVersion, Run
from onerun.domain.cleanup.plan import BatchSizer, Item, Plan, Totals, batches, ordered, too_much
from onerun.domain.cleanup.protection import (
    Protections,
    protecting_tag,
    protections_of,
    references,
)
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.retention import decide
from onerun.domain.text import DAY

NOW = 1_800_000_000_000
IDS = [f"{number:032x}" for number in range(24)]
MODELS = [f"m-{number:032x}" for number in range(6)]


def policy(text: str = "", **sections: Any) -> Policy:
    return load_policy(f"description: a test\n{text}") if text else Policy.model_validate(sections)


def run(number: int, days: float = 100, status: str = "FINISHED", **others: Any) -> Run:
    ended = NOW - int(days * DAY)
    known = {"lifecycle": "active", "deleted": None, "artifact_uri": None, "metrics": ()} | others
    return Run(
        IDS[number], f"run {number}", "1", status, started=ended - 1000, ended=ended, **known
    )


def group(runs: Iterable[Run], models: Iterable[LoggedModel] = (), **experiment: Any) -> Group:
    about = {
        "name": "houses",
        "lifecycle": "active",
        "location": "/store/1",
        "tags": {},
    } | experiment
    return Group(Experiment("1", created=0, updated=0, **about), list(runs), list(models))


def going(decisions: Iterable[Any]) -> set[str]:
    return {decision.run.id for decision in decisions if not decision.protected_by}


def test_the_rules_keep_what_they_say() -> None:
    rules = policy(
        """
keep: {younger_than: 30d, failed_younger_than: 7d, last: 2, best: [{metric: rmse, count: 1}]}
"""
    )
    runs = [
        run(0, 100, metrics=(1.0,)),  # the best
        run(1, 90, metrics=(3.0,)),
        run(2, 80, metrics=(None,)),
        run(3, 29, metrics=(9.0,)),  # the last two
        run(4, 20, metrics=(9.0,)),
        run(5, 10, "FAILED", metrics=(0.1,)),  # failed: goes sooner, and is nobody's best
        run(6, 5, "KILLED", metrics=(None,)),
    ]
    assert going(decide(group(runs), rules, Protections(), NOW)) == {IDS[1], IDS[2], IDS[5]}


def test_a_run_whose_deletion_has_no_time_stays() -> None:
    runs = [run(0, lifecycle="deleted"), run(1, lifecycle="deleted", deleted=NOW - 2 * DAY)]
    rules = policy("action: hard_delete\nkeep: {deleted_younger_than: 1d, last: 0}\n")
    assert going(decide(group(runs), rules, Protections(), NOW)) == {IDS[1]}


def test_a_run_of_which_no_time_is_known_stays() -> None:
    """Clients of MLflow's API may leave out both."""
    runs = [
        run(0)._replace(started=0, ended=None),
        run(1)._replace(started=None, ended=None),
        run(2),
    ]
    assert going(decide(group(runs), policy(keep=Keep(last=0)), Protections(), NOW)) == {IDS[2]}


def test_the_last_are_counted_among_those_that_did_not_fail() -> None:
    rules = policy("keep: {younger_than: 1h, last: 1}\n")
    runs = [run(0, 3), run(1, 2), run(2, 1, "FAILED")]
    assert going(decide(group(runs), rules, Protections(), NOW)) == {IDS[0], IDS[2]}


def test_a_greater_metric_is_better_where_it_is() -> None:
    by = "[{metric: r2, count: 1}, {metric: x, count: 1, greater_is_better: false}]"
    rules = policy(f"keep: {{younger_than: 1h, last: 0, best: {by}}}\n")
    runs = [run(0, metrics=(0.9, 5.0)), run(1, metrics=(0.5, 1.0)), run(2, metrics=(0.1, 9.0))]
    assert going(decide(group(runs), rules, Protections(), NOW)) == {IDS[2]}


@pytest.mark.parametrize("greater", ["true", "false"])
def test_not_a_number_is_never_the_best(greater: str) -> None:
    rules = policy(
        f"keep: {{younger_than: 1h, last: 0, best: [{{metric: x, count: 1, greater_is_better: {greater}}}]}}\n"
    )
    for values in ((math.nan, 1.0), (1.0, math.nan)):
        runs = [run(number, metrics=(value,)) for number, value in enumerate(values)]
        assert going(decide(group(runs), rules, Protections(), NOW)) == {IDS[values[0] == 1.0]}


def test_of_a_family_all_that_were_to_go_are_left_with_one() -> None:
    parents = {"b": "a", "c": "b", "e": "d", "g": "f", "z": "a"}
    ids = ["a", "b", "c", "d", "e", "f", "g"]
    kept = {"c": Reason(ReasonKind.TAG, "pin"), "d": Reason(ReasonKind.MISSING)}
    found = with_families(kept, ids, parents)
    assert {run: str(reason) for run, reason in found.items()} == {
        "c": "tag pin", "d": "is not there any more", "b": "parent or child of c, which is kept",
        "a": "parent or child of b, which is kept",
    }  # fmt: skip


def test_runs_in_damaged_experiments_are_of_the_plan() -> None:
    plan = Plan("ours", "hard_delete", NOW)
    assert plan.amount == ""
    plan.add_group("houses", 5)
    plan.add(
        Item("experiment", "2", "2", "2", "2", "no meta.yaml", 950, lifecycle="damaged", inside=95)
    )
    assert (plan.runs, plan.to_delete, plan.entries, plan.by_experiment["2"]) == (
        100,
        95,
        1,
        Totals(95, 95, 0, 950),
    )
    assert plan.amount == "95 of 100 runs and 1 deleted or damaged experiments"
    assert "95 of 100 runs" in (too_much(plan, 0.94) or "")
    assert too_much(plan, 0.95) is None
    empty = Plan("ours", "hard_delete", NOW)
    empty.add(Item("experiment", "2", "2", "2", "2", "no meta.yaml", 950, lifecycle="damaged"))
    assert "deletes 1 deleted or damaged experiments (0%, 950 B)" in (too_much(empty, 0) or "")
    assert too_much(empty, 0.01) is None


def test_deleted_runs_go_for_good_only_with_hard_delete_and_after_their_time() -> None:
    runs = [
        run(0, lifecycle="deleted", deleted=NOW - 8 * DAY),
        run(1, lifecycle="deleted", deleted=NOW - 6 * DAY),
    ]
    assert going(decide(group(runs), policy("action: hard_delete\n"), Protections(), NOW)) == {
        IDS[0]
    }
    assert going(decide(group(runs), policy("action: soft_delete\n"), Protections(), NOW)) == set()


def test_experiments_are_selected_by_name_and_tag() -> None:
    rules = policy(
        "select: {experiments: ['ho*'], exclude: ['*-live'], tags: {team: 'g*'}}\nkeep: {last: 0}\n"
    )
    tagged = {"tags": {"team": "geo"}}
    assert going(decide(group([run(0)], **tagged), rules, Protections(), NOW)) == {IDS[0]}
    assert not decide(group([run(0)], name="flats", **tagged), rules, Protections(), NOW)
    assert not decide(group([run(0)], name="houses-live", **tagged), rules, Protections(), NOW)
    assert not decide(group([run(0)]), rules, Protections(), NOW)


def test_a_run_with_a_model_that_is_not_selected_stays() -> None:
    rules = policy("select: {models: ['draft*']}\nkeep: {last: 0}\n")
    models = [LoggedModel(MODELS[0], "final", "1", IDS[0], "/store/1/models", 0, "active")]
    decisions = decide(group([run(0), run(1)], models), rules, Protections(), NOW)
    assert going(decisions) == {IDS[1]}
    assert str(decisions[0].protected_by) == "logged model final, which the policy does not select"


def test_every_protection_is_named() -> None:
    rules = policy("keep: {last: 0}\nprotect: {tags: ['stage=prod*'], experiments: [holy]}\n")
    versions = [
        RegisteredVersion("m", "3", IDS[0], "", ("champion",)),
        RegisteredVersion("m", "2", None, f"models:/{MODELS[1]}", ()),
        RegisteredVersion("m", "1", None, f"file:///store/1/{IDS[2]}/artifacts/model", ()),
    ]
    tags = {IDS[3]: {"pin": "true"}, IDS[4]: {"stage": "production"}, IDS[5]: {"pin": "false"}}
    guard = protections_of(
        versions, {MODELS[1]: IDS[1]}, tags, live={IDS[6]}, apart={IDS[7]}, parents={IDS[8]: IDS[9], IDS[10]: IDS[9]},
        protect_tags=rules.protect.tags, protect_experiments=rules.protect.experiments,
    )  # fmt: skip
    runs = [*(run(number) for number in range(10)), run(10, days=1), run(11, status="RUNNING")]
    words = {
        decision.run.name: str(decision.protected_by)
        for decision in decide(group(runs), rules, guard, NOW)
    }
    assert words == {
        "run 0": "m version 3 (champion)", "run 1": "m version 2", "run 2": "m version 1", "run 3": "tag pin",
        "run 4": "tag stage=production", "run 5": "None", "run 6": "its flow run is live",
        "run 7": "has a parent or child in another experiment",
        "run 8": f"parent or child of {IDS[9]}, which is kept",
        "run 9": f"parent or child of {IDS[10]}, which is kept",
        "run 11": "has status RUNNING",
    }  # fmt: skip
    assert {str(d.protected_by) for d in decide(group(runs, name="holy"), rules, guard, NOW)} == {
        "protect.experiments"
    }
    pinned = decide(group(runs, tags={"pin": "yes"}), rules, guard, NOW)
    assert {str(decision.protected_by) for decision in pinned} == {"tag pin of the experiment"}


def test_parents_in_a_circle_end() -> None:
    guard = Protections(parents={IDS[0]: IDS[1], IDS[1]: IDS[0], IDS[2]: IDS[2]})
    assert going(
        decide(group([run(0), run(1), run(2)]), policy("keep: {last: 0}\n"), guard, NOW)
    ) == set(IDS[:3])
    assert {item.family for item in ordered([item(0), item(1)], guard.parents)} == {IDS[0]}


def item(number: int) -> Item:
    return Item("run", IDS[number], "", "1", "houses", "", 1)


@st.composite
def stores(draw: st.DrawFn) -> tuple[Group, Protections, Policy]:
    numbers = st.integers(0, len(IDS) - 1)
    states = st.sampled_from(["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"])
    runs = [
        run(
            number,
            draw(st.floats(0, 400)),
            draw(states),
            lifecycle=(lifecycle := draw(st.sampled_from(["active", "deleted"]))),
            deleted=NOW - draw(st.integers(0, 60)) * DAY if lifecycle == "deleted" else None,
            metrics=(draw(st.none() | st.floats(-9, 9)),),
        )
        for number in draw(st.sets(numbers, min_size=1))
    ]
    ids = st.sampled_from(IDS)
    models = {model: draw(ids) for model in draw(st.sets(st.sampled_from(MODELS)))}
    sources = st.one_of(
        ids, st.sampled_from(MODELS).map("models:/{}".format), ids.map("/s/1/{}/artifacts/x".format)
    )
    versions = [
        RegisteredVersion(
            "m",
            str(number),
            draw(st.none() | ids),
            draw(sources),
            draw(st.sampled_from([(), ("champion",)])),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    held = st.dictionaries(
        st.sampled_from(["pin", "keep", "other"]), st.sampled_from(["true", "false", "x"])
    )
    parents = draw(st.dictionaries(ids, ids, max_size=10))
    tags = draw(st.dictionaries(ids, held, max_size=5))
    guard = protections_of(
        versions,
        models,
        tags,
        draw(st.sets(ids, max_size=2)),
        draw(st.sets(ids, max_size=2)),
        parents,
        ("keep",),
    )
    logged = [LoggedModel(model, "m", "1", of, "/x", 0, "active") for model, of in models.items()]
    rules = Policy.model_validate(
        {
            "action": draw(st.sampled_from(["quarantine", "soft_delete", "hard_delete"])),
            "keep": {
                "younger_than": float(draw(st.integers(1, 400))) * 86400,
                "deleted_younger_than": float(draw(st.integers(1, 60))) * 86400,
                "last": draw(st.integers(0, 5)),
                "best": [{"metric": "rmse", "count": draw(st.integers(1, 3))}],
            },
            "protect": {"tags": ["keep"]},
        }
    )
    guard = dataclasses.replace(guard, models=guard.models)
    return group(runs, logged), guard, rules


@given(stores())
def test_nothing_protected_is_ever_in_the_plan(store: tuple[Group, Protections, Policy]) -> None:
    found, guard, rules = store
    leaves = going(decide(found, rules, guard, NOW))
    inside = {run.id: run for run in found.runs}
    for gone in leaves:
        run = inside[gone]
        assert run.status not in ("RUNNING", "SCHEDULED")
        assert gone not in guard.runs
        assert not any(model.run_id == gone and model.id in guard.models for model in found.models)
        since = NOW - (run.deleted or 0) if run.is_deleted else NOW - run.last_seen
        assert since >= 1000 * (
            rules.keep.deleted_younger_than if run.is_deleted else rules.keep.younger_than
        )
        assert rules.action == "hard_delete" or not run.is_deleted
    for child, parent in guard.parents.items():
        if child in inside and parent in inside:
            assert (child in leaves) == (parent in leaves), "a family was torn apart"


@given(stores())
def test_at_least_the_last_and_the_best_stay(store: tuple[Group, Protections, Policy]) -> None:
    found, guard, rules = store
    leaves = going(decide(found, rules, guard, NOW))
    sound = [
        run for run in found.runs if not run.is_deleted and run.status not in ("FAILED", "KILLED")
    ]
    newest = (
        sorted(sound, key=lambda run: run.last_seen)[len(sound) - rules.keep.last :]
        if rules.keep.last
        else []
    )
    assert all(
        run.id not in leaves
        for run in newest
        if sum(run.last_seen == o.last_seen for o in sound) == 1
    )
    measured = [run for run in sound if run.metrics[0] is not None]
    best = min((run.metrics[0] for run in measured if run.metrics[0] is not None), default=None)
    assert not measured or any(run.id not in leaves for run in measured if run.metrics[0] == best)


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.floats(0, 1),
    st.sampled_from(["soft_delete", "hard_delete"]),
)
def test_max_delete_holds(going: int, staying: int, limit: float, action: str) -> None:
    plan = Plan("p", action, NOW, runs=going + staying, to_delete=going)
    assert (too_much(plan, limit) is None) == (going <= limit * (going + staying))


def test_max_delete_says_what_to_do() -> None:
    said = too_much(Plan("p", "hard_delete", NOW, runs=100, to_delete=30, bytes=2_000_000), 0.2)
    assert said is not None
    assert said.startswith("the plan deletes 30 of 100 runs (30%, 2 MB), and max_delete is 20%")
    assert "--yes-really" in said
    assert too_much(Plan("p", "quarantine", NOW, runs=100, to_delete=30), 0.2) is None


@given(
    st.lists(st.integers(0, 23), unique=True),
    st.dictionaries(st.integers(0, 23), st.integers(0, 23)),
    st.integers(1, 9),
)
def test_a_family_goes_in_one_batch(
    numbers: list[int], above: dict[int, int], at_once: int
) -> None:
    parents = {IDS[child]: IDS[parent] for child, parent in above.items()}
    found = list(
        batches(ordered((item(number) for number in numbers), parents), BatchSizer(at_once))
    )
    assert sorted(each.id for batch in found for each in batch) == sorted(
        IDS[number] for number in numbers
    )
    place = {each.id: position for position, batch in enumerate(found) for each in batch}
    for child, parent in parents.items():
        if child in place and parent in place:
            assert place[child] == place[parent]


def test_the_pace_follows_from_what_the_last_transaction_took() -> None:
    pace, taken = BatchSizer(60), []
    for batch in batches([item(0)] * 480, pace):
        taken.append(len(batch))
        pace.took(0.5, len(batch))
    assert taken == [60, 120, 240, 60]
    pace, sizes = BatchSizer(), []
    for seconds in (0.1, 1.0, 2.0, 4.0, 20.0, 30.0, 0.0, 0.0, 0.0, 0.0):
        pace.took(seconds, pace.at_once)
        sizes.append(pace.at_once)
    assert sizes == [2000, 2000, 1000, 250, 50, 50, 400, 3200, 8000, 8000]


def test_brackets_in_names_are_brackets() -> None:
    named, other = (group([run(0)], name=name) for name in ("houses [prod]", "houses p"))
    rules = policy(keep=Keep(last=0), select=Select(exclude=("houses [prod]",)))
    assert [bool(decide(each, rules, Protections(), NOW)) for each in (named, other)] == [
        False,
        True,
    ]
    guard = Protections(experiments=("houses [prod]", "x*"), tags=("stage=[prod]",))
    of_all = decide(named, policy(keep=Keep(last=0)), guard, NOW)
    assert [str(each.protected_by) for each in of_all] == ["protect.experiments"]
    assert protecting_tag({"stage": "[prod]"}, guard.tags) == "stage=[prod]"
    assert protecting_tag({"stage": "p"}, guard.tags) is None


def test_tags_protect_by_key_and_by_value() -> None:
    assert protecting_tag({"Pin": "x"}, ()) is None
    assert protecting_tag({"pin": ""}, ()) == "pin"
    assert protecting_tag({"release.1": "x"}, ("release.*",)) == "release.1"
    assert protecting_tag({"stage": "staging"}, ("stage=prod*",)) is None


def test_a_version_refers_to_all_that_its_addresses_name() -> None:
    version = RegisteredVersion(
        "m", "1", IDS[0], f"s3://b/1/{IDS[1]}/artifacts/m models:/{MODELS[2]}", ()
    )
    assert references(version) == {IDS[0], IDS[1], MODELS[2]}
