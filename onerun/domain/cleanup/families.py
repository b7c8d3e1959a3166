"""Runs that are parents and children of each other: they are kept, or removed, together."""

from collections.abc import Collection, Iterable, Mapping

from onerun.domain.cleanup.reason import Reason, ReasonKind

Parents = Mapping[str, str]  # run id -> its parent's


def inside(parents: Parents, ids: Collection[str]) -> dict[str, str]:
    """Return the pairs of child and parent that are both among `ids`, a set."""
    return {child: parents[child] for child in parents.keys() & ids if parents[child] in ids}


def topmost(run: str, parents: Parents) -> str:
    """Return the topmost ancestor; of runs that claim each other as parent, the smallest id."""
    path = [run]
    while (parent := parents.get(path[-1])) is not None:
        if parent in path:
            return min(path[path.index(parent) :])
        path.append(parent)
    return path[-1]


def relatives(seeds: Iterable[str], among: Collection[str], parents: Parents) -> dict[str, str]:
    """Return every run of `among` that a chain of parents and children within it leads to.

    Returns: run id -> the parent or child through which it was reached.
    """
    near: dict[str, list[str]] = {}
    for child, parent in parents.items():
        near.setdefault(child, []).append(parent)
        near.setdefault(parent, []).append(child)
    found: dict[str, str] = {}
    reached = list(seeds)
    known = set(reached)
    while reached:
        run = reached.pop()
        for other in near.get(run, ()):
            if other in among and other not in known:
                found[other] = run
                known.add(other)
                reached.append(other)
    return found


def with_families(
    kept: Mapping[str, Reason], planned: Collection[str], parents: Parents
) -> dict[str, Reason]:
    """Return `kept`, and of `planned` the parents and children of what is kept.

    One that is missing keeps none of its family.
    """
    seeds = [run for run, reason in kept.items() if reason.kind != ReasonKind.MISSING]
    related = relatives(seeds, set(planned) - kept.keys(), parents)
    return {**kept, **{run: Reason(ReasonKind.FAMILY, near) for run, near in related.items()}}


def ties_outside(
    parents: Parents, planned: Collection[str], existing: Collection[str]
) -> dict[str, Reason]:
    """Return the runs that have a child which is not planned, or a parent which exists and is not
    planned.
    """
    found: dict[str, Reason] = {}
    for child, parent in parents.items():
        if child not in planned:
            found[parent] = Reason(ReasonKind.CHILD, child)
        if parent not in planned and parent in existing:
            found[child] = Reason(ReasonKind.PARENT, parent)
    return found
