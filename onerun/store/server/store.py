"""A store behind an MLflow server, as the maintenance asks for it."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Experiment, Group, SnapshotUse, Version
from onerun.domain.cleanup.parameters import conflicts, duplicates
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections, protections_of, references
from onerun.domain.cleanup.result import Outcome
from onerun.store.server import reading
from onerun.store.server.places import place_of
from onerun.store.server.protections import Rechecker, snapshots_in_use
from onerun.store.sql.database import maintenance_lock
from onerun.tracking.database import identity_of
from onerun.tracking.runs import client


class ServerStore:
    """Everything through MLflow's own client, run by run."""

    can_hard_delete = False
    fingerprint = ""  # nothing is deleted for good
    finds_owners = True
    limits: tuple[str, ...] = (
        (
            "an MLflow server's API deletes runs so that they can be restored, and no further: for hard_delete run "
            "this where the database can be reached (MLFLOW_TRACKING_URI=postgresql://... or sqlite:///...)"
        ),
        (
            "an MLflow server's API tells nothing of rows without an experiment; artifacts behind its proxy are looked "
            "at where MLFLOW_ARTIFACTS_DESTINATION says where they lie; clean-ups from two machines do not see each "
            "other"
        ),
    )

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.identity = identity_of(uri)
        self._tags: dict[str, dict[str, str]] = {}
        self._owners: dict[str, str] = {}  # logged model -> its run
        self._troubles: list[Finding] = []  # of runs, seen while they are listed

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Let one clean-up by this user on this machine run at a time; the API has no lock for more.

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
        """Runs are listed once, a page at a time; what protects stands on them."""
        self._troubles.clear()
        groups = [self._group(experiment, policy) for experiment in reading.experiments()]
        registered = list(reading.versions())
        tags = self._tags
        place = {run.id: run.experiment_id for group in groups for run in group.runs}
        parents = {
            run: held[reading.PARENT] for run, held in tags.items() if reading.PARENT in held
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
        for found in reading.runs(experiment.id):
            run, params, tags = reading.run(found, policy), found.data.params, dict(found.data.tags)
            runs.append(run)
            self._tags[run.id] = tags
            for kind, words in (
                ("duplicate", duplicates(params)),
                ("conflicting", conflicts(params, tags)),
            ):
                self._troubles += [
                    Finding(f"{kind}-parameter", run.id, None, run.last_seen, word)
                    for word in words
                ]
        models = list(reading.models(experiment.id))
        self._owners |= {model.id: model.run_id for model in models if model.run_id}
        self._troubles += [
            Finding(
                "model-without-run",
                model.id,
                None,
                model.created,
                f"there is no run {model.run_id}",
            )
            for model in models
            if model.run_id
            and model.run_id not in self._tags
            and not reading.known(client().get_run, model.run_id)
        ]
        return Group(experiment, runs, models)

    def damaged(self, policy: Policy, protections: Protections, now: int) -> tuple[Item, ...]:
        """None that the API would tell of."""
        return ()

    def back_up(
        self, runs: Collection[str], experiments: Sequence[str], policy: Policy
    ) -> tuple[str, str, list[str]]:
        """Never asked for: nothing is deleted for good here."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Sets a tag, run by run."""
        return self._each(items, policy, going, lambda run: client().set_tag(run, *tag))

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """MLflow's own delete, run by run."""
        return self._each(items, policy, going, lambda run: client().delete_run(run))

    def _each(
        self,
        items: Sequence[Item],
        policy: Policy,
        going: Collection[str],
        do: Callable[[str], object],
    ) -> Outcome:
        """Looks again at each family right before it is changed."""
        left = Rechecker(policy, going, self._owners).carry_out(items, do)
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Refused."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Refused."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""
        return snapshots_in_use()

    def database_size(self) -> None:
        """Its server does not tell."""

    def troubles(self) -> Iterator[Finding]:
        """What stands on runs, models and aliases, seen at the last inventory; the API tells of no more."""
        yield from self._troubles
        there = {(version.model, version.version) for version in reading.versions()}
        for (model, version), aliases in reading.aliases().items():
            for alias in aliases if (model, version) not in there else ():
                yield Finding(
                    "alias-to-nothing",
                    f"{model}@{alias}",
                    None,
                    None,
                    f"there is no version {version}",
                )

    def version_places(self) -> Iterator[tuple[Version, str | None]]:
        """Every registered version, and where its files lie; None: what it was made of is gone; "": not known."""
        for version in reading.versions():
            yield version, place_of(version)

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Returns: those of the runs that the server knows now."""
        return {run for run in runs if reading.known(client().get_run, run)}

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Returns: those of the logged models that the server knows now."""
        return {model for model in models if reading.known(client().get_logged_model, model)}

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Returns: all of them: a server is not asked for one trace after the other."""
        return set(traces)
