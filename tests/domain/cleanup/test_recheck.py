"""What changed since the plan, decided from facts alone: the same for every kind of store."""

import pytest

from onerun.domain.cleanup.families import inside, relatives, ties_outside, topmost, with_families
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.reason import COUNTED_BY_TEXT, TEXTS, Reason, ReasonKind
from onerun.domain.cleanup.recheck import RunNow, recheck, recheck_all

AS_PLANNED = RunNow(("1",), "FINISHED", "active", 5)


def item(run: str, family: str = "") -> Item:
    return Item("run", run, run, "1", "houses", "old", 0, family=family, ended=5)


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (None, "is not there any more"),
        (RunNow((), None), "is not there any more"),
        (RunNow(("1", "2"), None), "lies in 2 experiments"),
        (AS_PLANNED._replace(experiments=("2",)), "lies in another experiment now"),
        (RunNow(("1",), None), "cannot be read any more"),
        (AS_PLANNED._replace(lifecycle="deleted"), "is deleted now"),
        (AS_PLANNED._replace(status="RUNNING"), "has status RUNNING"),
        (AS_PLANNED._replace(status="SCHEDULED"), "has status SCHEDULED"),
        (AS_PLANNED._replace(ended=6), "was resumed since the plan"),
    ],
)
def test_a_run_that_is_not_as_planned_is_skipped(now: RunNow | None, text: str) -> None:
    assert str(recheck(item("a"), now, Protections())) == text


def test_what_protects_now_counts() -> None:
    pinned, whole = Reason(ReasonKind.TAG, "pin"), Reason(ReasonKind.EXPERIMENT)
    assert recheck(item("a"), AS_PLANNED, Protections()) is None
    assert recheck(item("a"), AS_PLANNED, Protections(runs={"a": pinned})) == pinned
    assert recheck(item("a"), AS_PLANNED, Protections(whole={"1": whole})) == whole
    assert recheck(item("a"), AS_PLANNED, Protections(whole={"2": whole})) is None


def test_a_family_is_skipped_with_one_of_it_unless_that_one_is_missing() -> None:
    items = [item(run) for run in "abcd"]
    now = dict.fromkeys("abc", AS_PLANNED)
    protections = Protections(
        runs={"c": Reason(ReasonKind.TAG, "pin")}, parents={"b": "a", "c": "b", "a": "d"}
    )
    skipped = recheck_all(items, now, protections, planned=set("abcd"), existing=set("abc"))
    assert {run: str(reason) for run, reason in skipped.items()} == {
        "c": "tag pin",
        "b": "parent or child of c, which is kept",
        "a": "parent or child of b, which is kept",
        "d": "is not there any more",
    }
    alone = Protections(parents={"a": "d"})
    assert recheck_all([item("a"), item("d")], now, alone, set("ad"), set("a")).keys() == {"d"}


def test_only_a_parent_that_exists_keeps_its_child() -> None:
    """One that was deleted long ago would keep its children for ever."""
    parents = {"child": "parent", "other": "run"}
    assert ties_outside(parents, {"child", "run"}, set()) == {
        "run": Reason(ReasonKind.CHILD, "other")
    }
    assert ties_outside(parents, {"child"}, {"parent"})["child"] == Reason(
        ReasonKind.PARENT, "parent"
    )


def test_what_the_store_adds_is_asked_last() -> None:
    asked: list[str] = []

    def check(run: str) -> Reason | None:
        asked.append(run)
        return Reason(ReasonKind.NOT_ARCHIVED)

    items, now = [item("a"), item("b")], {"a": AS_PLANNED}
    skipped = recheck_all(items, now, Protections(), set("ab"), set(), check)
    assert asked == ["a"]
    assert str(skipped["a"]) == "is not in the archive"


def test_families_of_runs_that_claim_each_other() -> None:
    parents = {"b": "a", "a": "c", "c": "b", "d": "c"}
    assert {topmost(run, parents) for run in "abcd"} == {"a"}
    assert inside(parents, {"a", "b", "d"}) == {"b": "a"}
    assert relatives(["a"], {"b", "d"}, parents).keys() == {"b"}
    assert relatives(["a"], {"b", "c", "d"}, parents).keys() == {"b", "c", "d"}
    assert with_families({}, set("abcd"), parents) == {}


def test_every_kind_of_reason_has_a_sentence_and_a_label() -> None:
    assert set(TEXTS) == set(ReasonKind)
    for kind in ReasonKind:
        reason = Reason(kind, "x")
        assert "{" not in str(reason)
        assert reason.label == (str(reason) if kind in COUNTED_BY_TEXT else kind.value)
    assert str(Reason(ReasonKind.TAG, "a={b}")) == "tag a={b}"
