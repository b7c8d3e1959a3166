"""`python -m flows.summary`: what a store holds, in numbers; also a flow."""

import sys

from flows.maintenance import SUMMARY
from onerun.commands.summary import SummaryOptions
from onerun.domain.cleanup.summary import Summary

if __name__ == "__main__":
    # Handed over before Prefect is imported: counting needs no engine.
    raise SystemExit(SUMMARY.main(sys.argv[1:], "python -m flows.summary"))

from prefect import flow

from flows.parameters import parameters_of
from flows.ui import LogUi


@flow(name="summary", validate_parameters=True, persist_result=False)
@parameters_of(SummaryOptions)
def summary(options: SummaryOptions) -> Summary:
    """Count experiments, runs by state, models, bytes and troubles; change nothing."""
    return SUMMARY.run(options, LogUi())
