"""Where a rollback goes."""

from onerun.domain.ledger import Move, MoveKind, holders, previous_holder

ALL = [str(number) for number in range(1, 10)]


def moves(*steps: tuple[str | None, str] | tuple[str | None, str, MoveKind]) -> list[Move]:
    return [
        Move(
            alias="champion", from_version=step[0], to_version=step[1], kind=step[2] if len(step) == 3 else "promote",
            why="", who="", at=f"2026-01-01T00:00:{second:02}.000000Z", place="",
        )
        for second, step in enumerate(steps)
    ]  # fmt: skip


def test_back_to_the_version_before() -> None:
    assert previous_holder(moves((None, "1"), ("1", "2")), "2", ALL) == "1"


def test_twice_goes_two_steps_back_and_does_not_swing() -> None:
    promoted = moves((None, "1"), ("1", "2"), ("2", "3"), ("3", "2", "rollback"))
    assert previous_holder(promoted, "2", ALL) == "1"


def test_after_a_rollback_a_promotion_counts_from_there() -> None:
    done = moves((None, "1"), ("1", "2"), ("2", "1", "rollback"), ("1", "3"))
    assert previous_holder(done, "3", ALL) == "1"
    assert holders(done) == ["1", "3"]


def test_deleted_versions_are_passed_over() -> None:
    assert previous_holder(moves((None, "1"), ("1", "2"), ("2", "3")), "3", ["1", "3"]) == "1"


def test_the_first_holder_has_nothing_before() -> None:
    assert previous_holder(moves((None, "1")), "1", ALL) is None
    assert previous_holder([], "1", ALL) is None


def test_a_move_by_other_means_goes_back_to_the_last_known_holder() -> None:
    assert previous_holder(moves((None, "1"), ("1", "2")), "7", ALL) == "2"
    assert previous_holder(moves((None, "1"), ("1", "2"), ("2", "3")), "1", ALL) == "3"
    assert holders(moves((None, "1"), ("7", "2"))) == ["1", "7", "2"]


def test_promoting_the_same_version_again_goes_back_to_where_it_came_from() -> None:
    assert previous_holder(moves((None, "1"), ("1", "2"), ("2", "1", "to")), "1", ALL) == "2"
