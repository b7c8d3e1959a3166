"""What must hold after every fault: ONE place that looks, which every cell calls."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric, Run
from mlflow.entities.model_registry import ModelVersion

from onerun.domain import names
from onerun.domain.ledger import Move
from tests.guarantees.trainings import SECRET, Training, working_in

STATE_OF = {"FINISHED": "COMPLETED", "FAILED": "FAILED", "KILLED": "CRASHED"}
NOT_COMPARED = ("seconds_",)  # metrics that tell how long it took


@dataclass(frozen=True)
class Facts:
    """All that MLflow holds of one training's experiment and registered model."""

    runs: Sequence[Run]  # of all experiments, deleted ones excluded
    run: Run | None  # the flow run's, when there is just one
    histories: Mapping[str, Sequence[Metric]]
    artifacts: frozenset[str]
    models: Sequence[LoggedModel]
    versions: Sequence[ModelVersion]
    aliases: Mapping[str, str]
    moves: Sequence[Move]

    def metrics(self) -> dict[str, list[tuple[int, float]]]:
        """Returns: metric -> (step, value), without durations."""
        kept = {
            key: points
            for key, points in self.histories.items()
            if not key.startswith(NOT_COMPARED)
        }
        return {
            key: sorted((point.step, point.value) for point in points)
            for key, points in kept.items()
        }

    def stages(self) -> dict[str, tuple[str, list[int]]]:
        """Returns: finished stage -> what it returned, and when it was recorded."""
        tags = self.run.data.tags if self.run else {}
        keys = {stage: names.TAG_STAGE.format(stage=stage) for stage in names.STAGES}
        times = {
            stage: [p.timestamp for p in self.histories.get(f"seconds_{stage}", ())]
            for stage in keys
        }
        return {stage: (tags[key], times[stage]) for stage, key in keys.items() if key in tags}


def facts(training: Training, model: str = "diabetes") -> Facts:
    """Looks at the store, past the code under test."""
    client = MlflowClient(training.tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = list(client.search_runs(experiments))
    ours = [
        run for run in runs if run.data.tags.get(names.TAG_FLOW_RUN_ID) == str(training.flow_run_id)
    ]
    run = ours[0] if len(ours) == 1 else None
    registered = next(iter(client.search_registered_models(f"name = '{model}'")), None)
    tags = client.get_registered_model(model).tags if registered else {}
    return Facts(
        runs=runs,
        run=run,
        histories={key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        if run
        else {},
        artifacts=frozenset(_artifacts(client, run.info.run_id)) if run else frozenset(),
        models=client.search_logged_models(experiments, max_results=1000),
        versions=list(client.search_model_versions(f"name = '{model}'")),
        aliases={alias: str(number) for alias, number in registered.aliases.items()}
        if registered
        else {},
        moves=[
            Move.from_json(text)
            for key, text in sorted(tags.items())
            if key.startswith(names.PREFIX_MOVE)
        ],
    )


def _artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _artifacts(client, run_id, entry.path)
        else:
            yield entry.path


@dataclass(frozen=True)
class Expected:
    """What is right for a training after a fault."""

    undisturbed: Facts  # of the same recipe, without a fault
    before: Facts | None = (
        None  # right after the fault: stages that were finished then must not have run again
    )
    status: str = "FINISHED"
    state: str | None = None  # Prefect's; by default the one that goes with the run's
    others: int = 0  # runs of further flow runs in the same store
    children: int = 0  # runs nested below the training's
    attempts: int | None = None
    conflicts: frozenset[str] = field(
        default_factory=frozenset
    )  # parameters that a program logged in conflict


def violations(training: Training, expected: Expected) -> list[str]:
    """Returns: one line per promise that does not hold; empty when all is well."""
    now = facts(training)
    found = [
        *_one_run(now, training, expected),
        *_no_secret(training),
        *_nothing_works_on(training),
    ]
    if now.run is not None:
        found += _nothing_again(now, expected.before)
        if expected.status == "FINISHED":
            found += [
                *_same_result(now, expected),
                *_one_version(now, expected),
                *_aliases(now, expected),
            ]
    return found


def _one_run(now: Facts, training: Training, expected: Expected) -> Iterator[str]:
    """P1: one run for the flow run, no phantom beside it, and the right end."""
    ours = [
        run
        for run in now.runs
        if run.data.tags.get(names.TAG_FLOW_RUN_ID) == str(training.flow_run_id)
    ]
    children = [run for run in now.runs if "mlflow.parentRunId" in run.data.tags]
    if len(ours) != 1:
        yield f"P1: {len(ours)} runs carry the flow run's id"
    for run in ours:
        yield from _ended(run, expected)
    if len(now.runs) != len(ours) + expected.others + expected.children:
        yield f"P1: {len(now.runs)} runs in the store, of which {len(ours)} are the flow run's: a phantom"
    if len(children) != expected.children:
        yield f"P1: {len(children)} runs nested below, should be {expected.children}"
    state = expected.state or STATE_OF.get(expected.status)
    if state and training.state() != state:
        yield f"P1: the flow run reads {training.state()} and should read {state}"


def _ended(run: Run, expected: Expected) -> Iterator[str]:
    tags = run.data.tags
    if run.info.status != expected.status:
        yield f"P1: the run reads {run.info.status} and should read {expected.status}"
    if expected.status != "RUNNING" and not run.info.end_time:
        yield "P1: the run has no end"
    told = {names.TAG_FAILURE, names.TAG_RECONCILED.format(what="why")}
    if expected.status in ("FAILED", "KILLED") and not told & tags.keys():
        yield "P1: the run does not say why it ended"
    if expected.attempts and tags.get(names.TAG_ATTEMPT) != str(expected.attempts):
        yield f"P1: attempt {tags.get(names.TAG_ATTEMPT)}, should be {expected.attempts}"


def _nothing_again(now: Facts, before: Facts | None) -> Iterator[str]:
    """P2: what was finished is as it was, down to the moment when it was recorded."""
    for stage, was in (before.stages() if before else {}).items():
        if now.stages().get(stage) != was:
            yield f"P2: {stage} was finished and ran again"
    for stage, (_, times) in now.stages().items():
        if len(times) != 1:
            yield f"P2: {stage} was recorded {len(times)} times"


def _same_result(now: Facts, expected: Expected) -> Iterator[str]:
    """P2: the run holds what it would hold without the fault; each parameter and each point once."""
    run, wanted = now.run, expected.undisturbed.run
    assert run is not None and wanted is not None
    yield from _differences("parameter", run.data.params, wanted.data.params)
    conflicts = {key.rpartition(":attempt")[0] for key in run.data.tags if ":attempt" in key}
    if conflicts != expected.conflicts:
        yield f"P2: conflicting parameters {sorted(conflicts)}, should be {sorted(expected.conflicts)}"
    yield from _differences(
        "metric", _alone(now.metrics(), expected), expected.undisturbed.metrics()
    )
    yield from _differences(
        "artifact", dict.fromkeys(now.artifacts), dict.fromkeys(expected.undisturbed.artifacts)
    )
    if set(now.stages()) != set(names.STAGES):
        yield f"P2: only {sorted(now.stages())} are recorded as finished"
    inputs = [given.dataset.digest for given in run.inputs.dataset_inputs]
    if inputs != [given.dataset.digest for given in wanted.inputs.dataset_inputs]:
        yield f"P2: inputs {inputs}"


def _alone(metrics: Mapping[str, Any], expected: Expected) -> Mapping[str, Any]:
    """Returns: the metrics without those of a champion that another training in the store has made meanwhile."""
    return {
        key: points
        for key, points in metrics.items()
        if not (expected.others and key.startswith(names.PREFIX_CHAMPION))
    }


def _differences(what: str, came: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(came.keys() | wanted.keys()):
        if key not in came or key not in wanted:
            yield f"P2: {what} {key} {'is missing' if key in wanted else 'is one too many'}"
        elif came[key] != wanted[key]:
            yield f"P2: {what} {key} is {came[key]!r} and should be {wanted[key]!r}"


def _one_version(now: Facts, expected: Expected) -> Iterator[str]:
    """P2: one model of the run, READY, and one version made of it, with what a version tells."""
    assert now.run is not None
    run_id = now.run.info.run_id
    states = Counter(str(model.status) for model in now.models if model.source_run_id == run_id)
    if states["READY"] != 1 or states["PENDING"]:
        yield f"P2: logged models of the run: {dict(states)}, should be one READY"
    versions = [version for version in now.versions if version.run_id == run_id]
    if len(versions) != 1:
        yield f"P2: {len(versions)} versions were made of the run"
    ready = {f"models:/{model.model_id}" for model in now.models if model.status == "READY"}
    for version in versions:
        if version.source not in ready:
            yield f"P2: version {version.version} was made of {version.source}, which is not READY"
        if names.TAG_VERSION_RUN_ID not in version.tags or version.status != "READY":
            yield f"P2: version {version.version} is without its tags or not READY"
    outputs = (
        [output.model_id for output in now.run.outputs.model_outputs] if now.run.outputs else []
    )
    if len(outputs) != len(set(outputs)):
        yield f"P2: the run names an output twice: {outputs}"


def _aliases(now: Facts, expected: Expected) -> Iterator[str]:
    """P2: each alias moved once to the run's version; the ledger says so, is one chain, and ends at the holder."""
    assert now.run is not None
    made = [
        str(version.version) for version in now.versions if version.run_id == now.run.info.run_id
    ]
    wanted = Counter(move.alias for move in expected.undisturbed.moves)
    if not expected.others:
        came = Counter(move.alias for move in now.moves if move.to_version in made)
        if came != wanted:
            yield f"P2: alias moves {dict(came)}, should be {dict(wanted)}"
    for alias in wanted:
        moves = [move for move in now.moves if move.alias == alias]
        if any(move.state != "done" for move in moves):
            yield f"P2: the ledger of {alias} has an announcement that nobody settled"
        if [move.from_version for move in moves[1:]] != [move.to_version for move in moves[:-1]]:
            yield f"P2: the ledger of {alias} is no chain: {[(m.from_version, m.to_version) for m in moves]}"
        if moves and now.aliases.get(alias) != moves[-1].to_version:
            yield f"P2: {alias} points at {now.aliases.get(alias)}, the ledger ends at {moves[-1].to_version}"


def _no_secret(training: Training) -> Iterator[str]:
    """P7: no planted secret in anything written: stores, artifacts, logs, scratch files, Prefect's database."""
    prefect = Path(os.environ["PREFECT_HOME"])
    for folder in (training.folder, prefect):
        for name, _, files in os.walk(folder):
            for path in (Path(name, file) for file in files):
                with suppress(
                    FileNotFoundError
                ):  # Prefect's server goes on, and so do its database's journals
                    if path.is_file() and SECRET.encode() in path.read_bytes():
                        yield f"P7: a secret is in {path.relative_to(folder)}"


def _nothing_works_on(training: Training) -> Iterator[str]:
    """P1: no process of the training is left."""
    left = working_in(training.folder)
    if left:
        yield f"P1: processes {left} still work in the training's folder"
