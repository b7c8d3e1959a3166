"""Training, validation and test rows. The same rows, split and seed always give the same parts.

Every function returns (rows,) uint8 with TRAINING, VALIDATION or TEST for each row: disjoint, union
= all rows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from onerun.config.recipe import Split
from onerun.domain.digest import Hashes, mix
from onerun.domain.errors import DataError

TRAINING, VALIDATION, TEST = 0, 1, 2
NAMES = ("training", "validation", "test")
GREEDY_GROUPS = 10_000
STRATA_OF_NUMBERS = 100
SAMPLED_ROWS = 10_000

Parts = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]


def by_hash(hashes: Hashes, split: Split) -> Parts:
    """Divide by (rows,) hashes of each row's content (onerun/domain/digest.py): a row's part
    depends on nothing else.
    """
    places = mix(hashes, split.seed)
    parts = np.zeros(len(hashes), np.uint8)
    parts[places < _bound(split.test + split.validation)] = VALIDATION
    parts[places < _bound(split.test)] = TEST
    return parts


def _bound(share: float) -> np.uint64:
    return np.uint64(min(int(share * 2.0**64), 2**64 - 1))


def by_chance(rows: int, split: Split) -> Parts:
    """Divide into exact shares, drawn by seed; a row's part depends on its position."""
    test, validation = _counts(rows, split)
    parts = np.zeros(rows, np.uint8)
    parts[:test] = TEST
    parts[test : test + validation] = VALIDATION
    np.random.default_rng(split.seed).shuffle(parts)
    return parts


def by_strata(strata: Codes, split: Split) -> Parts:
    """Divide so that each of the (rows,) strata gets its share of each part, to within one row.

    One row of each stratum always trains: a class that training never saw cannot be predicted.
    """
    shuffled = np.random.default_rng(split.seed).permutation(len(strata))
    keys: npt.NDArray[Any] = strata
    if strata.max(initial=0) < 2**16:
        keys = strata.astype(np.uint16)  # sorted by radix, in linear time
    order = shuffled[np.argsort(keys[shuffled], kind="stable")]
    in_order = strata[order]
    free = order[1:][in_order[1:] == in_order[:-1]]
    parts = np.zeros(len(strata), np.uint8)
    test, validation = _counts(len(strata), split)
    chosen = _evenly(len(free), min(test, len(free)))
    parts[free[chosen]] = TEST
    rest = free[~chosen]
    parts[rest[_evenly(len(rest), min(validation, len(rest)))]] = VALIDATION
    return parts


def _evenly(rows: int, count: int) -> npt.NDArray[np.bool_]:
    """Return (rows,) True for `count` of them, evenly spaced."""
    steps = np.arange(rows + 1) * count // max(rows, 1)
    return np.asarray(steps[1:] > steps[:-1])


def number_strata(values: npt.NDArray[np.float64]) -> Codes:
    """Return (rows,) strata of a numeric target: its values where they are few, else quantile
    bins.
    """
    distinct = np.unique(values[:SAMPLED_ROWS])
    if len(distinct) <= STRATA_OF_NUMBERS:
        distinct = np.unique(values)
    if len(distinct) <= STRATA_OF_NUMBERS:
        return np.searchsorted(distinct, values, side="left").astype(np.int64)
    edges = np.quantile(values, np.arange(1, STRATA_OF_NUMBERS) / STRATA_OF_NUMBERS)
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def by_group(groups: Codes, split: Split) -> Parts:
    """Divide by (rows,) codes 0..k-1, each group in one part; the parts come as near their shares
    as groups allow.
    """
    sizes = np.bincount(groups)
    shuffled = np.random.default_rng(split.seed).permutation(len(sizes))
    test, validation = _counts(len(groups), split)
    sizes_of_parts = np.array([len(groups) - test - validation, validation, test], np.int64)
    if len(sizes) <= GREEDY_GROUPS:
        parts_of_groups = _largest_first(sizes, shuffled, sizes_of_parts)
    else:
        before = np.empty(len(sizes), np.int64)
        before[shuffled] = np.cumsum(sizes[shuffled]) - sizes[shuffled]
        parts_of_groups = np.where(
            before < test, TEST, np.where(before < test + validation, VALIDATION, TRAINING)
        )
    return parts_of_groups.astype(np.uint8)[groups]


def _largest_first(sizes: Codes, shuffled: Codes, sizes_of_parts: Codes) -> Codes:
    """Put each group, largest first, into the part that lacks most rows."""
    left = sizes_of_parts.astype(np.float64)
    parts = np.zeros(len(sizes), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part = int(np.argmax(left))
        parts[group] = part
        left[part] -= sizes[group]
    return _none_empty(parts, sizes, sizes_of_parts)


def _none_empty(parts: Codes, sizes: Codes, sizes_of_parts: Codes) -> Codes:
    """Give a part without a group the smallest one of the part that has most groups, if that has
    two or more.
    """
    for part in (TEST, VALIDATION):
        counts = np.bincount(parts, minlength=3)
        richest = int(np.argmax(counts))
        if sizes_of_parts[part] and not counts[part] and counts[richest] > 1:
            mine = np.flatnonzero(parts == richest)
            parts[mine[np.argmin(sizes[mine])]] = part
    return parts


def by_time(moments: Codes, split: Split) -> Parts:
    """Divide by (rows,) orderable codes of time, a missing one being the smallest: the newest test,
    the next validate.

    Rows of the same moment lie in one part: the cut moves to the nearest change of moment.
    """
    ordered = np.sort(moments)
    test, validation = _counts(len(moments), split)
    changes = np.flatnonzero(np.diff(ordered)) + 1
    first_test = _nearest(changes, len(moments) - test)
    first_validation = first_test
    if validation:
        earlier = changes[changes < first_test]
        first_validation = _nearest(earlier, len(moments) - test - validation)
    parts = np.zeros(len(moments), np.uint8)
    if first_validation < len(moments):
        parts[moments >= ordered[first_validation]] = VALIDATION
    if first_test < len(moments):
        parts[moments >= ordered[first_test]] = TEST
    return parts


def _nearest(changes: Codes, place: int) -> int:
    """Return the change of moment nearest to `place`; without one, a position past every row."""
    if not len(changes):
        return np.iinfo(np.int64).max
    return int(changes[np.argmin(np.abs(changes - place))])


def _counts(rows: int, split: Split) -> tuple[int, int]:
    """Return rows of the test and of the validation part, at least one each when asked for."""
    test = max(round(rows * split.test), 1)
    if not split.validation:
        return test, 0
    return test, max(round(rows * split.validation), 1)


def require_filled(parts: Parts, split: Split) -> Parts:
    """Return the parts; raise DataError when one of a share above 0 has no row."""
    counts = np.bincount(parts, minlength=3)
    shares = (1 - split.test - split.validation, split.validation, split.test)
    for part, share in enumerate(shares):
        if share and not counts[part]:
            raise DataError(
                f"split: the {NAMES[part]} part is empty: "
                f"{split.by} put {_listed(counts)} of {len(parts):,} rows "
                f"({share:.0%} was asked for {NAMES[part]}); {_advice(split)}"
            )
    return parts


def _listed(counts: npt.NDArray[np.int64]) -> str:
    return ", ".join(f"{count:,} into {name}" for name, count in zip(NAMES, counts, strict=True))


def _advice(split: Split) -> str:
    advice = {
        "hash": "use more rows, a larger share, split.by: random, "
        "or split.columns that distinguish the rows",
        "group": "there are fewer groups than parts; use another data.group or split.by: hash",
        "time": "there are fewer moments than parts; use another data.time or split.by: hash",
    }
    return advice.get(split.by, "use more rows or a larger share")
