"""`python -m flows.promote --model NAME --rollback | --to VERSION | --history`: moving an alias by hand."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: moving an alias by hand needs no engine.
    from flows.promoting.aliases import main

    raise SystemExit(main())

from typing import Any

from prefect import flow

from flows.promoting.aliases import move, use_registry


@flow(name="promote", validate_parameters=True, persist_result=False)
def promote(
    model: str,
    alias: str = "champion",
    to: str | None = None,
    why: str = "",
    profile: str | None = None,
) -> dict[str, Any]:
    """Move the alias of a registered model to a version, or back to its previous holder.

    Args:
        model: The registered model.
        alias: The alias.
        to: The version; empty to roll back to the previous holder.
        why: What the record says as the reason.
        profile: Name of a profile in `settings/profiles/`.
    """
    use_registry(profile)
    return move(model, alias, to, why)
