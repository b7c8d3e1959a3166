"""What protects runs behind a server, looked up family by family right before they are changed."""

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence

from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.inventory import UNFINISHED_STATES, Experiment, SnapshotUse
from onerun.domain.cleanup.plan import Item, by_family
from onerun.domain.cleanup.protection import (
    Protections,
    of_experiment,
    protecting_tag,
    references,
)
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.recheck import RunNow, recheck, recheck_all
from onerun.store.server import entities
from onerun.tracking.runs import client


class Rechecker:
    """Ask for versions, families and experiments once, and for each run before its change."""

    def __init__(self, policy: Policy, planned: Collection[str], owners: Mapping[str, str]) -> None:
        """Ask what protects now.

        Args:
            planned: ids of everything in the plan.
            owners: logged model -> its run, as far as known.
        """
        self._policy, self._planned = policy, planned
        self._parents = entities.parents()
        outside = {parent for parent in self._parents.values() if parent not in planned}
        self._existing = {run for run in outside if entities.known(client().get_run, run)}
        self._needed = _needed(owners)
        self._whole: dict[str, Reason | None] = {}

    def carry_out(self, items: Sequence[Item], do: Callable[[str], object]) -> dict[str, Reason]:
        """Do it to each run that is as planned.

        Returns: run id -> why it was skipped; its family with it.
        """
        skipped: dict[str, Reason] = {}
        for family in by_family(items):
            now = {item.id: self._run_now(item.id) for item in family}
            skipped |= recheck_all(
                family,
                now={run: found for run, (found, _) in now.items() if found},
                protections=self._protections(
                    family, {run: tags for run, (_, tags) in now.items()}
                ),
                planned=self._planned,
                existing=self._existing,
            )
            for item in family:
                if item.id not in skipped and (reason := self._done(item, do)):
                    skipped[item.id] = reason
        return skipped

    def _done(self, item: Item, do: Callable[[str], object]) -> Reason | None:
        """Return why it could not be done, when somebody else was quicker."""
        from mlflow.exceptions import MlflowException

        try:
            do(item.id)
        except MlflowException:
            found, tags = self._run_now(item.id)
            if reason := recheck(item, found, self._protections([item], {item.id: tags})):
                return reason
            raise
        return None

    def _run_now(self, run_id: str) -> tuple[RunNow | None, Mapping[str, str]]:
        """Return the run, and its tags."""
        run = entities.known(client().get_run, run_id)
        if run is None:
            return None, {}
        info = run.info
        found = RunNow((info.experiment_id,), info.status, info.lifecycle_stage, info.end_time)
        return found, run.data.tags

    def _protections(
        self, items: Sequence[Item], tags: Mapping[str, Mapping[str, str]]
    ) -> Protections:
        tagged = {}
        for run, held in tags.items():
            if tag := protecting_tag(held, self._policy.protect.tags):
                tagged[run] = Reason(ReasonKind.TAG, tag)
        whole = {item.experiment_id: self._of_experiment(item.experiment_id) for item in items}
        return Protections(
            runs=ChainMap(self._needed, tagged),
            parents=self._parents,
            whole={experiment: reason for experiment, reason in whole.items() if reason},
        )

    def _of_experiment(self, identity: str) -> Reason | None:
        if identity not in self._whole:
            protect = self._policy.protect
            found = client().get_experiment(identity)
            experiment = Experiment(
                id=identity,
                name=found.name,
                lifecycle=found.lifecycle_stage,
                location="",
                created=None,
                updated=None,
                tags=dict(found.tags),
            )
            protections = Protections(tags=protect.tags, experiments=protect.experiments)
            self._whole[identity] = of_experiment(experiment, protections)
        return self._whole[identity]


def snapshots_in_use() -> SnapshotUse:
    """Return the snapshots that runs name, deleted runs included."""
    digests: set[str] = set()
    unnamed = 0
    for experiment in entities.experiments():
        for run in entities.runs(experiment.id):
            tags = run.data.tags
            if names.TAG_SNAPSHOT_DIGEST in tags:
                digests.add(tags[names.TAG_SNAPSHOT_DIGEST])
            elif names.TAG_PROCESS in tags and run.info.status in UNFINISHED_STATES:
                unnamed += 1
    return SnapshotUse(digests, unnamed)


def _needed(owners: Mapping[str, str]) -> dict[str, Reason]:
    """Return the runs that a registered version needs, for themselves or for a logged model."""
    needed: dict[str, Reason] = {}
    for version in entities.versions():
        for named in references(version):
            run = _run_of(named, owners) or named
            needed.setdefault(run, Reason(ReasonKind.REGISTERED, version.title))
    return needed


def _run_of(named: str, owners: Mapping[str, str]) -> str | None:
    if not named.startswith("m-") or named in owners:
        return owners.get(named)
    model = entities.known(client().get_logged_model, named)
    return model.source_run_id if model else None
