"""What counts as wrong in a pre-flight check."""

import pytest

from onerun.domain import diagnosis
from onerun.domain.diagnosis import all_well


@pytest.mark.parametrize(
    ("ours", "theirs", "state"),
    [
        ("3.17.2", "3.17.2", "good"),
        ("3.17.2", "3.17.1", "note"),
        ("3.17.2", "3.16.0", "wrong"),
        ("3.8.8", "4.8.8", "wrong"),
    ],
)
def test_versions_go_together_when_their_first_two_numbers_do(
    ours: str, theirs: str, state: str
) -> None:
    finding = diagnosis.versions("server", ours, theirs)
    assert finding.state == state and theirs in finding.detail


@pytest.mark.parametrize(("current", "state"), [("b", "good"), (None, "note"), ("a", "wrong")])
def test_a_schema_is_the_newest_or_is_not_there_yet(current: str | None, state: str) -> None:
    finding = diagnosis.schema("database", current, "b", "mlflow db upgrade x")
    assert finding.state == state
    assert ("mlflow db upgrade x" in finding.detail) == (state == "wrong")


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0.4, "good", "within"),
        (-29, "good", "within"),
        (31, "wrong", "31 s ahead of"),
        (-3600, "wrong", "3600 s behind"),
    ],
)
def test_clocks_may_differ_by_half_a_minute(seconds: float, state: str, words: str) -> None:
    finding = diagnosis.skew("clock", seconds)
    assert finding.state == state and words in finding.detail


def test_little_space_is_told_and_one_wrong_thing_is_enough() -> None:
    findings = [diagnosis.space("disk", 5e8), diagnosis.space("disk", 5e10)]
    assert [finding.state for finding in findings] == ["note", "good"]
    none_left = diagnosis.space("disk", 4e8)
    assert none_left.state == "wrong" and "make room" in none_left.detail
    assert all_well(findings) and not all_well([*findings, diagnosis.wrong("server", "gone")])
    assert findings[0].summary.startswith("note   disk: only 0.5 GB free")
