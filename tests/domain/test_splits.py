"""Every division is disjoint, covers all rows, can be made again, and is near what was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onerun.config.recipe import Split
from onerun.domain import splits
from onerun.domain.errors import DataError
from onerun.domain.splits import TEST, TRAINING, VALIDATION


def shares(parts: splits.Parts) -> list[float]:
    return [round(float((parts == part).mean()), 3) for part in (TRAINING, VALIDATION, TEST)]


def hashes(rows: int, seed: int = 0) -> splits.Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, rows, dtype=np.uint64)


@given(
    st.integers(50, 3000),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["hash", "random", "stratified", "group", "time"]),
)
@settings(max_examples=150, deadline=None)
def test_all_rows_once_and_the_same_again(
    rows: int, test: float, validation: float, seed: int, by: str
) -> None:
    split = Split(by=by, test=test, validation=validation, seed=seed)  # type: ignore[arg-type]
    codes = np.random.default_rng(rows).integers(0, 30, rows)
    divide = {
        "hash": lambda: splits.by_hash(hashes(rows), split),
        "random": lambda: splits.by_chance(rows, split),
        "stratified": lambda: splits.by_strata(codes, split),
        "group": lambda: splits.by_group(codes, split),
        "time": lambda: splits.by_time(np.arange(rows), split),
    }[by]
    parts = divide()
    assert parts.shape == (rows,)
    assert set(np.unique(parts)) <= {TRAINING, VALIDATION, TEST}
    assert np.array_equal(parts, divide())
    few = rows <= 300 and by in (
        "hash",
        "group",
        "stratified",
    )  # chance, sizes of groups, one row per stratum
    near = 0.12 if by in ("hash", "group") else 0.03
    if not few:
        assert abs((parts == TEST).mean() - test) < near
        assert abs((parts == VALIDATION).mean() - validation) < near


def test_a_row_keeps_its_part_when_rows_are_added_or_reordered() -> None:
    some, more = hashes(5000), hashes(5000, seed=1)
    order = np.random.default_rng(2).permutation(10_000)
    before = splits.by_hash(some, Split())
    after = splits.by_hash(np.concatenate([some, more])[order], Split())
    assert np.array_equal(after[np.argsort(order)[:5000]], before)
    assert shares(before) == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_another_seed_divides_otherwise() -> None:
    for divide in (lambda s: splits.by_hash(hashes(999), s), lambda s: splits.by_chance(999, s)):
        assert (divide(Split(seed=1)) != divide(Split(seed=2))).mean() > 0.2


def test_random_takes_exact_shares() -> None:
    assert shares(splits.by_chance(1000, Split())) == [0.7, 0.1, 0.2]


def test_every_stratum_gets_its_share_and_trains() -> None:
    strata = np.repeat([0, 1, 2, 3], [9000, 900, 99, 1])
    parts = splits.by_strata(strata, Split(seed=3))
    for stratum in (0, 1, 2):
        assert shares(parts[strata == stratum]) == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    assert parts[-1] == TRAINING


def test_a_numeric_target_is_stratified_by_quantiles() -> None:
    target = np.random.default_rng(0).lognormal(size=20_000)
    parts = splits.by_strata(splits.number_strata(target), Split())
    top = target > np.quantile(target, 0.99)
    assert shares(parts[top]) == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


@pytest.mark.parametrize("groups", [3, 40, splits.GREEDY_GROUPS + 5000])
def test_a_group_lies_in_one_part(groups: int) -> None:
    codes = np.random.default_rng(0).integers(0, groups, 60_000)
    codes[:groups] = np.arange(groups)
    parts = splits.require_filled(splits.by_group(codes, Split(by="group")), Split(by="group"))
    for part in (TRAINING, VALIDATION, TEST):
        assert not set(codes[parts == part]) & set(codes[parts != part])
    if groups > 3:
        assert shares(parts) == pytest.approx([0.7, 0.1, 0.2], abs=0.03)


def test_the_newest_rows_test_and_a_moment_is_not_torn() -> None:
    moments = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 10))
    parts = splits.by_time(moments, Split(by="time"))
    assert moments[parts == TRAINING].max() < moments[parts == VALIDATION].min()
    assert moments[parts == VALIDATION].max() < moments[parts == TEST].min()
    assert shares(parts) == [0.7, 0.1, 0.2]


@pytest.mark.parametrize(
    ("divide", "says"),
    [
        (lambda s: splits.by_group(np.zeros(50, np.int64), s), "fewer groups than parts"),
        (lambda s: splits.by_time(np.zeros(50, np.int64), s), "fewer moments than parts"),
        (lambda s: splits.by_hash(np.zeros(50, np.uint64), s), "more rows"),
    ],
)
def test_an_empty_part_is_an_error_that_says_which(divide: object, says: str) -> None:
    by = {"groups": "group", "moments": "time"}.get(says.split()[1], "hash")
    split = Split(by=by)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the \w+ part is empty.*of 50 rows.*" + says):
        splits.require_filled(divide(split), split)  # type: ignore[operator]
