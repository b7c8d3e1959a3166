"""Models: saved as plain MLflow models, logged to the run that an id names, found again, loaded."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.domain import predictor
from onerun.domain.errors import ModelUnusable
from onerun.domain.predictor import Predictor
from onerun.tracking.lifecycle import require_ownership
from onerun.tracking.retrying_client import call
from onerun.tracking.runs import client, stored

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

NAME = "model"
TAG_OURS = (
    "onerun.logged_by_owner"  # tells it from what a program of the user's logged to the same run
)
OF_THE_USERS_PROJECT = (
    "uv.lock",
    "pyproject.toml",
    ".python-version",
)  # MLflow copies them from the working directory


def save_model(
    folder: Path, model: Predictor, example: "pd.DataFrame", metadata: Mapping[str, Any]
) -> None:
    """Makes `folder` an MLflow model that needs nothing of this project; whole or not at all.

    Args: example: a few raw rows with the features; metadata: JSON values kept in the MLmodel file.
    """
    from mlflow import pyfunc

    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    files = folder.with_name(folder.name + ".files")
    model.save(files)
    with _unscanned():
        pyfunc.save_model(
            str(unfinished),
            python_model=predictor.__file__,
            artifacts={
                "columns": str(files / predictor.SPEC_FILE),
                "estimator": str(files / predictor.ESTIMATOR_FILE),
            },
            signature=_signature(model.spec),
            input_example=example,
            pip_requirements=_requirements(model),
            metadata=dict(metadata),
        )
    for name in OF_THE_USERS_PROJECT:
        (unfinished / name).unlink(missing_ok=True)
    shutil.rmtree(files)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


@contextmanager
def _unscanned() -> Iterator[None]:
    """Within the block MLflow takes our pins for what is installed, which they are. It would look through the files of
    every installed distribution first, for a warning that cannot come: 0.4 s.
    """
    from mlflow.utils import requirements_utils

    known: Any = requirements_utils  # it says of its cache that it is always None
    mapped = known._MODULES_TO_PACKAGES
    known._MODULES_TO_PACKAGES = mapped or {}
    try:
        yield
    finally:
        known._MODULES_TO_PACKAGES = mapped


def _signature(spec: Mapping[str, Any]) -> "ModelSignature":
    """Any type for every feature: what a raw column holds depends on the rows (all missing, integers, floats)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    anything = AnyType()  # type: ignore[no-untyped-call]
    inputs = Schema(
        [ColSpec(anything, column["name"], required=True) for column in spec["columns"]]
    )
    if not spec["classes"]:
        return ModelSignature(inputs=inputs)
    return ModelSignature(
        inputs=inputs, params=ParamSchema([ParamSpec("probabilities", "boolean", False)])
    )


def _requirements(model: Predictor) -> list[str]:
    """Exactly what loading and predicting import; finding that out by trying costs MLflow seconds."""
    library = type(model.estimator).__module__.partition(".")[0]
    sklearn = library != "lightgbm" or model.prepare is not None
    needed = (
        {"numpy", "pandas"} | ({"scikit-learn"} if sklearn else set()) | ({library} - {"sklearn"})
    )
    return [_pinned(name) for name in ("mlflow", *sorted(needed))]


def _pinned(name: str) -> str:
    """Return `name==version`, by the name it was installed under: xgboost comes as xgboost-cpu as well."""
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        installed = packages_distributions()[name][0]
        return f"{installed}=={version(installed)}"


def log_model(run_id: str, folder: Path, tags: Mapping[str, str] | None = None) -> str:
    """Logs a model folder to the run, which goes on; called again, it completes what was begun (P2).

    Returns: the id of the run's one logged model (`m-...`).
    """
    model = call(lambda: next(iter(_ours(run_id)), None) or _make(run_id))
    if model.status != "READY":
        _sign(folder, model, run_id)
        _point_to(run_id, model.model_id)
        with stored(run_id):
            client().log_model_artifacts(model.model_id, str(folder))
        tag_model(model.model_id, tags or {})
        client().finalize_logged_model(model.model_id, "READY")
    others = [other for other in _ours(run_id) if other.model_id != model.model_id]
    if others:  # made by a request that was thought lost, or by whoever took this process' place
        require_ownership(run_id)
    for other in others:
        client().delete_logged_model(other.model_id)
    return str(model.model_id)


def _ours(run_id: str) -> list["LoggedModel"]:
    """Return what the owner logged, finished or begun, the finished ones first."""
    return [
        model
        for status in ("READY", "PENDING")
        for model in _logged(run_id, status)
        if TAG_OURS in model.tags
    ]


def _make(run_id: str) -> "LoggedModel":
    experiment_id = client().get_run(run_id).info.experiment_id
    return client().create_logged_model(experiment_id, NAME, run_id, tags={TAG_OURS: "true"})


def newest_model(run_id: str) -> str | None:
    """Return the id of the newest finished logged model of the run, or None."""
    return next((str(model.model_id) for model in _logged(run_id, "READY")), None)


def tagged_model(run_id: str, tag: str) -> tuple[str, dict[str, str]] | None:
    """Return id and tags of the newest finished logged model of the run that carries `tag`, or None."""
    tagged = [model for model in _logged(run_id, "READY") if tag in model.tags]
    return (tagged[0].model_id, dict(tagged[0].tags)) if tagged else None


def tag_model(model_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a logged model."""
    if tags:
        client().set_logged_model_tags(model_id, dict(tags))


def give_up(run_id: str) -> None:
    """Marks what an earlier attempt logged as failed, so that no one takes it for the run's model."""
    for model in [*_logged(run_id, "READY"), *_logged(run_id, "PENDING")]:
        client().finalize_logged_model(model.model_id, "FAILED")


def clear(folder: Path) -> None:
    """Removes a model folder that an earlier attempt left."""
    shutil.rmtree(folder, ignore_errors=True)


def require_python_function(folder: Path) -> None:
    """Raises: ModelUnusable when the folder holds no MLflow model, or one that Python cannot ask."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    try:
        flavors = Model.load(str(folder)).flavors
    except (MlflowException, TypeError, AttributeError, ValueError) as error:
        raise ModelUnusable(f"{folder}/MLmodel cannot be read: {error}") from error
    if "python_function" not in flavors:
        text = f"the model in {folder} has only {', '.join(flavors) or 'no'} flavor, and python_function is needed"
        raise ModelUnusable(
            f"{text} to judge and serve it: save it with mlflow.pyfunc or a flavor that includes it"
        )


def fetch_model(model_uri: str, work: Path) -> Path:
    """Return a local folder with the model; where it lies when that is local already, else a copy under `work`."""
    from mlflow.artifacts import download_artifacts

    if Path(model_uri).is_dir():
        return Path(model_uri)
    if model_uri.startswith("models:/m-"):
        location = client().get_logged_model(model_uri.removeprefix("models:/")).artifact_location
        local = Path(location.removeprefix("file://"))
        if local.is_dir():
            return local
    work.mkdir(parents=True, exist_ok=True)
    return Path(call(lambda: download_artifacts(artifact_uri=model_uri, dst_path=str(work))))


def load_model(model: str) -> Any:
    """Return what MLflow makes of a model URI or folder; it has `.predict(frame, params=None)`."""
    from mlflow import pyfunc

    return pyfunc.load_model(model)


def load_predictor(folder: Path) -> Predictor | None:
    """Return the model without MLflow's checks of its input, or None when it is not one of our own training."""
    files = folder / "artifacts"
    spec, estimator = files / predictor.SPEC_FILE, files / predictor.ESTIMATOR_FILE
    return Predictor.load(spec, estimator) if spec.exists() and estimator.exists() else None


def _logged(run_id: str, status: str) -> list["LoggedModel"]:
    """Return the run's logged models in that state, newest first."""
    experiment = client().get_run(run_id).info.experiment_id
    found = client().search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return [model for model in found if model.status == status]


def _sign(folder: Path, logged: "LoggedModel", run_id: str) -> None:
    """The model file says which logged model and which run it belongs to; whole or not at all, for it may be the only
    one. The draft lies beside the folder: what is left of it after a kill is not logged with the model.
    """
    from mlflow.models import Model

    file = folder / "MLmodel"
    model = Model.load(str(file))
    model.model_id = model.model_uuid = logged.model_id
    model.run_id, model.artifact_path = run_id, logged.artifact_location
    draft = folder.with_name("MLmodel.unfinished")
    model.save(str(draft))
    draft.replace(file)


def _point_to(run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    def point_unless_pointed() -> None:
        outputs = client().get_run(run_id).outputs
        if outputs is None or model_id not in {output.model_id for output in outputs.model_outputs}:
            client().log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    call(point_unless_pointed)
