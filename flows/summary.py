"""`python -m flows.summary`: what a store holds, in numbers."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: counting needs no engine.
    from flows.upkeep.summarising import main

    raise SystemExit(main())

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.upkeep.summarising import summary_lines, summary_of


@flow(name="summary", validate_parameters=True, persist_result=False)
def summary(
    store: str | None = None, profile: str | None = None, files: bool = True
) -> dict[str, Any]:
    """Count experiments, runs by state, models, bytes and troubles; change nothing.

    Args:
        store: A store of files such as ./mlruns, in place of the profile's store.
        profile: Name of a profile in `settings/profiles/`.
        files: Also look at artifacts, which takes longest.
    """
    result = summary_of(profile, store, files)
    create_markdown_artifact(
        "```\n" + "\n".join(summary_lines(result)) + "\n```", key="summary", description="The store"
    )
    return result
