"""The command line of a training under Prefect.

It imports nothing heavy, so that mistakes are shown within a second.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from flows.command_line import temporary_server
from flows.command_line.links import flow_run_links
from flows.command_line.prefect_address import with_prefect
from flows.training.options import FlowTrainOptions
from onerun.commands import train
from onerun.commands.command import Command
from onerun.commands.outcome import outcome_lines
from onerun.commands.terminal import QUIET
from onerun.commands.ui import Ui
from onerun.config.profile import Profile
from onerun.engine.request import check, resolve
from settings.profile import PrefectProfile, load_profile


def run(options: FlowTrainOptions, ui: Ui) -> BaseModel:
    """Train as a flow run, on the profile's server or on one for the length of this command."""
    profile = with_prefect(load_profile(options.profile))
    request = resolve(options.recipe, profile, options.overrides, options.data)
    if options.plan:
        return train.show_plan(request, ui)
    profile.apply()
    check(request)
    with _server_for(profile) as server:
        return _run_flow(options, profile, ui, server)


@contextlib.contextmanager
def _server_for(profile: PrefectProfile) -> Iterator[temporary_server.TemporaryServer | None]:
    """Start a server for the block where the profile names none."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    # it raises what it logs with a traceback
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if profile.prefect_api_url:
        yield None
        return
    server = temporary_server.start()
    try:
        yield server
    finally:
        server.stop()


def _run_flow(
    options: FlowTrainOptions,
    profile: Profile,
    ui: Ui,
    server: temporary_server.TemporaryServer | None,
) -> BaseModel:
    from prefect.exceptions import Abort
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.train import train as train_flow
    from flows.training.retry import retried
    from flows.ui import shown_at

    given: dict[str, Any] = options.model_dump(include={"recipe", "overrides", "data", "profile"})
    if server is not None:
        server.wait(ui.say)
    # Prefect's heartbeats show others that a flow is alive; so does the run's own
    # (onerun/engine/heartbeat.py), and without Prefect's thread a flow ends a second sooner.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), shown_at(ui.show):
        try:
            if options.retry:
                result = retried(train_flow, options.retry, given)
            else:
                result = train_flow(**given)
        except Abort as cancelled:
            ui.say("cancelled at Prefect")
            raise KeyboardInterrupt from cancelled
    for line in outcome_lines(result, result.links() | flow_run_links(result)):
        ui.say(line)
    return result


COMMAND = Command(
    name="train",
    summary=train.COMMAND.summary,
    options=FlowTrainOptions,
    run=run,
    examples=[
        "onerun train --recipe recipes/california-housing.yaml --data housing.csv",
        "onerun train --recipe breast-cancer --set model.params.num_leaves=7 --set split.seed=7",
        "onerun train --recipe recipes/diabetes.yaml --plan",
        "onerun train --recipe recipes/diabetes.yaml --retry 0195d6b4-5d2c-7bc3-8f0e-2b1d3c4e5f60",
    ],
    exit_codes=train.COMMAND.exit_codes,
    interrupted=train.COMMAND.interrupted,
)


def main(arguments: Sequence[str]) -> int:
    """Train as asked. Return the exit code."""
    return COMMAND.main(arguments, "python -m flows.train")
