"""Loaded by every Python that a training program starts: its MLflow attaches to the owner's run and
never ends it.

Python imports a module of this name at start-up when its folder is on PYTHONPATH. The programs may
run in another environment than ours, so this is standard library only, and without ONERUN_RUN_ID it
does nothing.

Inside the program `mlflow.start_run()` (and autologging) continue the owner's run; ending it,
leaving its `with` block or exiting keeps its status RUNNING; runs nested below it are the program's
own. `set_experiment` and `set_tracking_uri` would lead away from the run and are answered with the
owner's.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import sys

# type checkers take it for true; importing typing would cost every Python that starts
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWNER = os.environ.get("ONERUN_RUN_ID", "")
# pathlib costs every Python that starts 10 ms
HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120


def attach_fluent(module: Any) -> None:
    """Attach mlflow.tracking.fluent: `start_run` continues the owner's run."""
    start_run, end_run, set_experiment = module.start_run, module.end_run, module.set_experiment

    @functools.wraps(start_run)
    def start(
        run_id: str | None = None,
        experiment_id: str | None = None,
        run_name: str | None = None,
        nested: bool = False,
        parent_run_id: str | None = None,
        **others: Any,
    ) -> Any:
        fresh = run_id is None and parent_run_id is None and module.active_run() is None
        if fresh and nested:
            parent_run_id = OWNER
        elif fresh or run_id == OWNER:
            run_id, run_name, experiment_id = OWNER, None, None
        # MLflow would prefer it to a nested run of the program's own
        os.environ.pop("MLFLOW_RUN_ID", None)
        try:
            return start_run(run_id, experiment_id, run_name, nested, parent_run_id, **others)
        finally:
            os.environ["MLFLOW_RUN_ID"] = OWNER  # for the programs that this program starts

    @functools.wraps(end_run)
    def end(*arguments: Any, **named: Any) -> Any:
        try:
            return end_run(*arguments, **named)
        finally:
            os.environ["MLFLOW_RUN_ID"] = OWNER

    @functools.wraps(set_experiment)
    def experiment(*arguments: Any, **named: Any) -> Any:
        report_ignored("set_experiment", arguments or named)
        return set_experiment(experiment_id=os.environ["MLFLOW_EXPERIMENT_ID"])

    module.start_run, module.end_run, module.set_experiment = start, end, experiment


def attach_client(module: Any) -> None:
    """Attach mlflow.tracking._tracking_service.client, through which every change of a run's status
    goes.
    """
    client = module.TrackingServiceClient
    set_terminated, update_run = client.set_terminated, client.update_run

    @functools.wraps(set_terminated)
    def terminate(self: Any, run_id: str, *arguments: Any, **named: Any) -> Any:
        if run_id == OWNER:
            # what is still waiting is written, as at any run's end
            return self.store.shut_down_async_logging()
        return set_terminated(self, run_id, *arguments, **named)

    @functools.wraps(update_run)
    def update(self: Any, run_id: str, status: str | None = None, name: str | None = None) -> Any:
        return update_run(self, run_id, None if run_id == OWNER else status, name)

    client.set_terminated, client.update_run = terminate, update
    keep_conflicts(client)


def keep_conflicts(client: Any) -> None:
    """Keep a parameter that has another value already; the new value becomes a tag, as the owner's
    own do.
    """
    log_param, log_batch = client.log_param, client.log_batch

    def without_conflicts(self: Any, params: Any) -> list[Any]:
        """Return the pairs that do not conflict; those that do become tags."""
        known = self.get_run(OWNER).data
        attempt = known.tags.get("onerun.attempt", "1")
        free = []
        for key, value in params:
            if known.params.get(key, str(value)) == str(value):
                free.append((key, value))
                continue
            self.set_tag(OWNER, f"{key}:attempt{attempt}", str(value))
            message = f"parameter {key} has another value already, this one is kept as a tag"
            print(f"onerun: {message}", file=sys.stderr)
        return free

    @functools.wraps(log_param)
    def param(self: Any, run_id: str, key: str, value: Any, synchronous: bool = True) -> Any:
        if run_id == OWNER and not without_conflicts(self, [(key, value)]):
            return value
        return log_param(self, run_id, key, value, synchronous)

    @functools.wraps(log_batch)
    def batch(
        self: Any,
        run_id: str,
        metrics: Any = (),
        params: Any = (),
        tags: Any = (),
        synchronous: bool = True,
    ) -> Any:
        if run_id == OWNER and params:
            kept = dict(without_conflicts(self, [(param.key, param.value) for param in params]))
            params = [param for param in params if param.key in kept]
        return log_batch(self, run_id, metrics, params, tags, synchronous)

    client.log_param, client.log_batch = param, batch


def attach_uri(module: Any) -> None:
    """Attach mlflow.tracking._tracking_service.utils: the tracking URI stays the owner's."""
    set_tracking_uri = module.set_tracking_uri

    @functools.wraps(set_tracking_uri)
    def uri(given: Any) -> Any:
        if str(given) != os.environ.get("MLFLOW_TRACKING_URI"):
            report_ignored(
                "set_tracking_uri", ()
            )  # not what was given: an address can hold a password
        return set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", given))

    module.set_tracking_uri = uri


def attach_version(module: Any) -> None:
    """Warn when the program's MLflow has another version than the owner's."""
    owners = os.environ.get("ONERUN_MLFLOW_VERSION", module.VERSION)
    if owners != module.VERSION:
        message = f"MLflow is {module.VERSION} here and {owners} where the run is owned"
        print(f"onerun: {message}", file=sys.stderr)


def attach_schema(module: Any) -> None:
    """Attach mlflow.store.db.utils, whose message advises to migrate the database: that would lock
    the owner out.
    """
    verify = module._verify_schema

    @functools.wraps(verify)
    def verified(*arguments: Any, **named: Any) -> Any:
        try:
            return verify(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # MLflow's class, not imported here
            owners = os.environ.get("ONERUN_MLFLOW_VERSION", "the owner's version")
            advice = "this program's MLflow cannot use the run's database: install"
            reason = str(error).partition(". ")[0]
            raise type(error)(f"{advice} mlflow=={owners} for it ({reason})") from None

    module._verify_schema = verified


def report_ignored(what: str, given: Any) -> None:
    """Print that a call of the program was ignored."""
    message = f"{what}{given or ''} is ignored: this program works in run {OWNER}"
    print(f"onerun: {message}", file=sys.stderr)


HOOKS = {
    "mlflow.tracking.fluent": attach_fluent,
    "mlflow.tracking._tracking_service.client": attach_client,
    "mlflow.tracking._tracking_service.utils": attach_uri,
    "mlflow.version": attach_version,
    "mlflow.store.db.utils": attach_schema,
}


class Hooked:
    """Loads a module and changes it before it is used."""

    def __init__(self, loader: Any, hook: Any) -> None:
        self.loader, self.hook = loader, hook

    def create_module(self, spec: Any) -> Any:
        """Create the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Execute the module as its own loader does, then the hook."""
        self.loader.exec_module(module)
        try:
            self.hook(module)
        except Exception as error:  # noqa: BLE001  # an unknown MLflow: the owner ends the run
            print(f"onerun: cannot attach {module.__name__}: {error!r}", file=sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class Finder:
    """Finds the modules that are hooked, by asking the finders behind it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's spec with a hooked loader, or None for every other module."""
        if fullname not in HOOKS:
            return None
        for finder in sys.meta_path:
            spec: Any = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = Hooked(spec.loader, HOOKS[fullname])
                return spec
        return None


def next_sitecustomize() -> None:
    """Run the module of the same name that this one hides, if there is one."""
    rest = [path for path in sys.path if os.path.realpath(path) != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if OWNER:
    os.environ.setdefault("MLFLOW_RUN_ID", OWNER)
    sys.meta_path.insert(0, Finder())
next_sitecustomize()
