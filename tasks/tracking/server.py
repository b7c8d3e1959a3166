"""A store behind an MLflow server, as the maintenance asks for it: what the API allows, and the rest said."""

import fcntl
import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain import names
from domain.maintenance.findings import Finding
from domain.maintenance.inventory import Experiment, Group, LoggedModel, Run, Version
from domain.maintenance.places import place_of
from domain.maintenance.plan import Item
from domain.maintenance.protection import Guards, guards, protecting_tag, references
from settings.addresses import redact
from settings.mistakes import Mistake, Mistakes
from settings.policy import Policy
from tasks.tracking.runs import client
from tasks.tracking.tables.database import MaintenanceUnderWay
from tasks.tracking.tables.deletion import Outcome

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel as MlflowModel
    from mlflow.entities import Run as MlflowRun

PARENT = "mlflow.parentRunId"
PAGE = 1000
ALL = 3  # MLflow's ViewType


class ServerStore:
    """Everything through MLflow's own client, run by run."""

    can_hard_delete = False
    finds_owners = True
    limits: tuple[str, ...] = (
        (
            "an MLflow server's API deletes runs so that they can be restored, and no further: for hard_delete run "
            "this where the database can be reached (MLFLOW_TRACKING_URI=postgresql://... or sqlite:///...)"
        ),
        "an MLflow server's API tells nothing of artifacts without an owner or of rows without an experiment",
    )

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.identity = hashlib.sha256(redact(uri).encode()).hexdigest()[:12]
        self._tags: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Two clean-ups by one user on one machine do not meet; the API has no lock for more."""
        folder = Path(tempfile.gettempdir()) / f"onerun-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / f"maintenance-{self.identity}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                words = f"another clean-up of {redact(self._uri)} is under way; run this one after it"
                raise MaintenanceUnderWay(words) from None
            yield

    @contextmanager
    def inventory(self, policy: Policy, live: Collection[str]) -> Iterator[tuple[Guards, Iterator[Group]]]:
        """Runs are listed once, a page at a time; what protects stands on them."""
        groups = [self._group(experiment, policy) for experiment in _paged(client().search_experiments, view_type=ALL)]
        registered = list(_versions())
        tags = self._tags
        place = {run.id: run.experiment_id for group in groups for run in group.runs}
        parents = {run: held[PARENT] for run, held in tags.items() if PARENT in held}
        apart = {
            each
            for child, parent in parents.items()
            if parent in place and place[child] != place[parent]
            for each in (child, parent)
        }
        owners = {model.id: model.run_id for group in groups for model in group.models if model.run_id}
        named = {each for version in registered for each in references(version)}
        yield (
            guards(
                registered,
                {model: run for model, run in owners.items() if model in named},
                tags,
                {run for run, held in tags.items() if held.get(names.TAG_FLOW_RUN_ID) in live},
                apart,
                parents,
                policy.protect.tags,
                policy.protect.experiments,
            ),
            iter(groups),
        )

    def _group(self, found: Any, policy: Policy) -> Group:
        experiment = Experiment(
            found.experiment_id, found.name, found.lifecycle_stage, found.artifact_location, found.creation_time,
            found.last_update_time, dict(found.tags),
        )  # fmt: skip
        ids = [experiment.id]
        runs = []
        for run in _paged(client().search_runs, experiment_ids=ids, run_view_type=ALL):
            self._tags[run.info.run_id] = dict(run.data.tags)
            runs.append(_run(run, policy))
        logged = _paged(client().search_logged_models, size=50, experiment_ids=ids)
        return Group(experiment, runs, [_model(model) for model in logged])

    def damaged(self, policy: Policy, guard: Guards, now: int) -> tuple[Item, ...]:
        """None that the API would tell of."""
        return ()

    def back_up(self, runs: Collection[str], experiments: Sequence[str], policy: Policy) -> tuple[str, str, list[str]]:
        """Never asked for: nothing is deleted for good here."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def mark(self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]) -> Outcome:
        """Sets a tag, run by run."""
        return self._each(items, policy, lambda run: client().set_tag(run, *tag))

    def soft_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int) -> Outcome:
        """MLflow's own delete, run by run."""
        return self._each(items, policy, lambda run: client().delete_run(run))

    def _each(self, items: Sequence[Item], policy: Policy, do: Any) -> Outcome:
        """Looks again at each run right before it is changed."""
        needed = {each: version.words for version in _versions() for each in references(version)}
        left: dict[str, str] = {}
        for item in items:
            run = client().get_run(item.id)
            word = needed.get(item.id) or protecting_tag(run.data.tags, policy.protect.tags)
            if run.info.lifecycle_stage != item.lifecycle:
                word = f"{run.info.lifecycle_stage} meanwhile"
            elif run.info.status in ("RUNNING", "SCHEDULED"):
                word = f"reads {run.info.status} meanwhile"
            if word:
                left[item.id] = word
            else:
                do(item.id)
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Refused."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Refused."""
        raise Mistakes([Mistake("action", self.limits[0])])

    def database_size(self) -> None:
        """Its server does not tell."""

    def troubles(self) -> Iterator[Finding]:
        """Logged models whose run is gone; the API tells of no more."""
        known = set(self._tags)
        for experiment in _paged(client().search_experiments, view_type=ALL):
            for model in _paged(client().search_logged_models, size=50, experiment_ids=[experiment.experiment_id]):
                if model.source_run_id and model.source_run_id not in known:
                    cause = f"there is no run {model.source_run_id}"
                    created, place = model.creation_timestamp, model.artifact_location
                    yield Finding("model-without-run", model.model_id, None, created, cause, place=place)

    def version_places(self) -> Iterator[tuple[str, str | None]]:
        """Every registered version, and where its files lie, as `place_of` says; asked one by one."""
        for version in _versions():
            yield version.words, place_of(version, _place_of_model, _place_of_run)

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Returns: those of the runs that the server knows now."""
        return {run for run in runs if _known(client().get_run, run)}

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Returns: those of the logged models that the server knows now."""
        return {model for model in models if _known(client().get_logged_model, model)}


def _known(get: Any, identity: str) -> Any:
    """Returns: what the server knows of it; None: it does not."""
    from mlflow.exceptions import MlflowException

    try:
        return get(identity)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise
        return None


def _place_of_model(model: str) -> str | None:
    known = _known(client().get_logged_model, model)
    return str(known.artifact_location) if known else None


def _place_of_run(run: str) -> str | None:
    known = _known(client().get_run, run)
    return str(known.info.artifact_uri) if known else None


def _paged(search: Any, size: int = PAGE, **asked: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=size, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


def _run(run: "MlflowRun", policy: Policy) -> Run:
    info, values = run.info, run.data.metrics
    deleted = info.end_time if info.lifecycle_stage == "deleted" else None  # the API does not say when
    return Run(
        info.run_id, info.run_name, info.experiment_id, info.status, info.lifecycle_stage, info.start_time,
        info.end_time, deleted, info.artifact_uri, tuple(values.get(best.metric) for best in policy.keep.best),
    )  # fmt: skip


def _model(model: "MlflowModel") -> LoggedModel:
    return LoggedModel(
        model.model_id, model.name, model.experiment_id, model.source_run_id, model.artifact_location,
        model.creation_timestamp, "active",
    )  # fmt: skip


def _versions() -> Iterator[Version]:
    aliases: dict[tuple[str, str], list[str]] = defaultdict(list)
    for model in _paged(client().search_registered_models, size=100):
        for alias, version in model.aliases.items():
            aliases[model.name, str(version)].append(alias)
    for version in _paged(client().search_model_versions, size=PAGE):
        held = tuple(sorted(aliases[version.name, str(version.version)]))
        yield Version(version.name, str(version.version), version.run_id or None, version.source or "", held)
