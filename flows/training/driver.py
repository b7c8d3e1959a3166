"""A training as a flow run: what Prefect adds to the library's engine."""

from prefect.exceptions import Abort
from prefect.runtime import flow_run

from flows.command_line.links import flow_run_url
from flows.training.approval import request_approval
from flows.training.cancellation import CancellationWatcher
from flows.training.concurrency import turn
from flows.ui import LogUi
from onerun.domain import names
from onerun.domain.errors import Superseded
from onerun.engine.request import TrainingRequest, check
from onerun.engine.result import TrainingResult
from onerun.engine.training import Driver, run_training
from onerun.tracking.lifecycle import Identity
from tasks.stages import run_as_task

RETRY = (
    "the same command with `--retry {flow_run_id}` goes on after the last finished stage, with "
    "what was computed meanwhile; so does a retry of the flow run in Prefect's pages"
)


def train_in_flow(request: TrainingRequest, watcher: CancellationWatcher) -> TrainingResult:
    """Train in the flow run that this is called in; ask for approval where the recipe wants it.

    Raises: Abort when another process owns the run now; that process records how the run ends.
    """
    request.profile.apply()
    check(request, waits=True)  # eight that start at once keep a server busy for seconds
    watcher.experiment = request.recipe.name
    with turn(request.recipe.model_name):
        try:
            result = run_training(request, _driver())
        except Superseded as superseded:
            raise Abort(str(superseded)) from superseded
    if not result.waits_for_approval:
        return result
    return result.model_copy(update={"approval": request_approval(result)})


def _driver() -> Driver:
    flow_run_id = str(flow_run.id)
    tags = {names.TAG_RUN_COUNT: str(flow_run.run_count), "mlflow.source.name": "flows/train.py"}
    url = flow_run_url(flow_run_id)
    if url:
        tags[names.TAG_FLOW_RUN_URL] = url
    return Driver(
        identity=Identity.of_flow_run(flow_run_id),
        run_name=str(flow_run.name),
        how_to_resume=RETRY.format(flow_run_id=flow_run_id),
        runner=run_as_task,
        observer=LogUi().show,
        tags=tags,
        flow_run_id=flow_run_id,
    )
