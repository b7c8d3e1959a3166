"""A store behind an MLflow server, as clean-up asks for it."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Experiment, Group, RegisteredVersion, SnapshotUse
from onerun.domain.cleanup.parameters import conflicts, duplicates
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections, protections_of, references
from onerun.domain.cleanup.result import Outcome
from onerun.store.lock import maintenance_lock
from onerun.store.server import entities
from onerun.store.server.protections import Rechecker, snapshots_in_use
from onerun.tracking.database import identity_of
from onerun.tracking.runs import client


class ServerStore:
    """A store that is asked through MLflow's own client, run by run."""

    can_hard_delete = False
    fingerprint = ""  # nothing is deleted for good
    finds_owners = True
    limits: tuple[str, ...] = (
        (
            "an MLflow server's API deletes runs so that they can be restored, and no further: for "
            "hard_delete run this where the database can be reached "
            "(MLFLOW_TRACKING_URI=postgresql://... or sqlite:///...)"
        ),
        (
            "an MLflow server's API hides rows without an experiment; artifacts behind its proxy "
            "are looked at where MLFLOW_ARTIFACTS_DESTINATION says where they lie; clean-ups from "
            "two machines do not see each other"
        ),
    )

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.identity = identity_of(uri)
        self._tags: dict[str, dict[str, str]] = {}
        self._owners: dict[str, str] = {}  # logged model -> its run
        self._problems: list[Finding] = []  # of runs, seen while they are listed

    def close(self) -> None:
        """Do nothing: nothing is held."""

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Let one clean-up by this user on this machine run at a time: the API has no lock.

        Raises: MaintenanceUnderWay.
        """
        folder = Path(tempfile.gettempdir()) / f"onerun-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        with maintenance_lock(folder / f"maintenance-{self.identity}.lock", self._uri):
            yield

    @contextmanager
    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> Iterator[tuple[Protections, Iterator[Group]]]:
        """Yield what protects, and the experiments; runs are listed once, a page at a time."""
        self._problems.clear()
        groups = [self._group(experiment, policy) for experiment in entities.experiments()]
        registered = list(entities.versions())
        tags = self._tags
        place = {run.id: run.experiment_id for group in groups for run in group.runs}
        parents = {
            run: held[entities.PARENT] for run, held in tags.items() if entities.PARENT in held
        }
        apart = {
            each
            for child, parent in parents.items()
            if parent in place and place[child] != place[parent]
            for each in (child, parent)
        }
        named = {each for version in registered for each in references(version)}
        yield (
            protections_of(
                registered,
                {model: run for model, run in self._owners.items() if model in named},
                tags,
                {run for run, held in tags.items() if held.get(names.TAG_FLOW_RUN_ID) in live},
                apart,
                parents,
                policy.protect.tags,
                policy.protect.experiments,
            ),
            iter(groups),
        )

    def _group(self, experiment: Experiment, policy: Policy) -> Group:
        runs = []
        for found in entities.runs(experiment.id):
            run, params, tags = (
                entities.run(found, policy),
                found.data.params,
                dict(found.data.tags),
            )
            runs.append(run)
            self._tags[run.id] = tags
            causes = [("duplicate-parameter", cause) for cause in duplicates(params)]
            causes += [("conflicting-parameter", cause) for cause in conflicts(params, tags)]
            for kind, cause in causes:
                self._problems.append(Finding(kind, run.id, None, run.last_seen, cause))
        models = list(entities.models(experiment.id))
        self._owners |= {model.id: model.run_id for model in models if model.run_id}
        for model in models:
            if model.run_id and not self._knows(model.run_id):
                cause = f"there is no run {model.run_id}"
                finding = Finding("model-without-run", model.id, None, model.created, cause)
                self._problems.append(finding)
        return Group(experiment, runs, models)

    def _knows(self, run: str) -> bool:
        return run in self._tags or entities.known(client().get_run, run) is not None

    def damaged(self, policy: Policy, protections: Protections, now: int) -> tuple[Item, ...]:
        """Return none: the API lists no damage."""
        return ()

    def archive_selection(self, runs: Collection[str], experiments: Sequence[str]) -> None:
        """Refuse: nothing is deleted for good here."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Set a tag, run by run."""
        return self._each(items, policy, going, lambda run: client().set_tag(run, *tag))

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Delete as MLflow does, run by run."""
        return self._each(items, policy, going, lambda run: client().delete_run(run))

    def _each(
        self,
        items: Sequence[Item],
        policy: Policy,
        going: Collection[str],
        do: Callable[[str], object],
    ) -> Outcome:
        """Recheck each family right before it is changed."""
        left = Rechecker(policy, going, self._owners).carry_out(items, do)
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Refuse: the API has no hard delete."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Refuse: the API has no hard delete."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""
        return snapshots_in_use()

    def database_size(self) -> None:
        """Return None: its server does not say."""

    def problems(self) -> Iterator[Finding]:
        """Yield what is wrong with runs and models, as of the last inventory, and with aliases."""
        yield from self._problems
        there = {(version.model, version.version) for version in entities.versions()}
        for (model, version), aliases in entities.aliases().items():
            if (model, version) in there:
                continue
            cause = f"there is no version {version}"
            for alias in aliases:
                yield Finding("alias-to-nothing", f"{model}@{alias}", None, None, cause)

    def version_places(self) -> Iterator[tuple[RegisteredVersion, str | None]]:
        """Yield every registered version and where its files lie, as `version_address` says."""
        for version in entities.versions():
            yield version, entities.address_of(version)

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Return those of the runs that the server knows now."""
        return {run for run in runs if entities.known(client().get_run, run)}

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Return those of the logged models that the server knows now."""
        return {model for model in models if entities.known(client().get_logged_model, model)}

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Return all of them: a server is not asked for one trace after the other."""
        return set(traces)
