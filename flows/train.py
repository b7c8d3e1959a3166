"""`python -m flows.train --recipe recipes/x.yaml`: from a recipe to a champion, as a flow run."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: its temporary server starts while the rest loads.
    import sys

    from flows.training.launch import main

    raise SystemExit(main(sys.argv[1:]))

from prefect import flow
from prefect.runtime import flow_run

from flows.command_line.prefect_address import with_prefect
from flows.parameters import parameters_of
from flows.training.cancellation import ends_when_cancelled
from flows.training.driver import train_in_flow
from flows.training.options import FlowTrainOptions
from flows.training.stdout import outlive_the_reader
from onerun.engine.request import resolve
from onerun.engine.result import TrainingResult
from onerun.process_tuning import end_quickly
from settings.profile import load_profile


@flow(name="train", validate_parameters=True, persist_result=False)
@parameters_of(FlowTrainOptions, without=("plan", "retry"))
def train(options: FlowTrainOptions) -> TrainingResult:
    """Take a recipe's data to a promoted model.

    Its stages: ingest, validate, train, evaluate, register, promote.
    """
    end_quickly()  # a worker starts a process for every flow run
    outlive_the_reader()
    with ends_when_cancelled(str(flow_run.id), flow_run.run_count) as watcher:
        profile = with_prefect(load_profile(options.profile))
        request = resolve(options.recipe, profile, options.overrides, options.data)
        return train_in_flow(request, watcher)
