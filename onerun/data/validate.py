"""Validate: the recipe's expectations on all rows of the snapshot, before anything is trained."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from onerun.config.mistakes import did_you_mean
from onerun.domain import names
from onerun.domain.errors import DataError, ExpectationsBroken
from onerun.domain.expectations import columns_of, summarise
from onerun.domain.references import Snapshot, Validation
from onerun.tracking.runs import log_text

log = logging.getLogger("onerun")


def validate(
    run_id: str, expectations: tuple[dict[str, dict[str, Any]], ...], snapshot: Snapshot
) -> Validation:
    """Checks the expectations, records what they say, and only then stops when a critical one does not hold.

    Raises: DataError when one names a column that the table does not have; ExpectationsBroken with one line per
    critical expectation that does not hold or could not be checked.
    """
    if not expectations:
        return Validation(expectations=0)
    _need_columns(expectations, snapshot)
    from onerun.data import snapshots
    from onerun.data.quality import checks

    checked = checks.check_table(
        expectations, [*snapshot.columns], snapshot.rows, lambda columns: snapshots.rows(snapshot, columns, None),
        snapshot.source,
    )  # fmt: skip
    validation = summarise(checked.outcomes)
    told = [outcome.model_dump(mode="json") for outcome in checked.outcomes]
    result = {
        "validation": validation.model_dump(),
        "outcomes": told,
        "great_expectations": json.loads(checked.result),
    }
    log_text(
        run_id,
        json.dumps(result, indent=1, ensure_ascii=False),
        f"{names.ARTIFACT_VALIDATION}/result.json",
    )
    log_text(run_id, checked.page, f"{names.ARTIFACT_VALIDATION}/data_docs.html")
    return _go_on_or_stop(validation)


def _go_on_or_stop(validation: Validation) -> Validation:
    if validation.failed_critical:
        raise ExpectationsBroken(
            f"{validation.failed_critical} of {validation.expectations} expectations do not hold:\n"
            + "\n".join(validation.messages)
            + f"\nAll of them, with examples: {names.ARTIFACT_VALIDATION}/data_docs.html of the run"
        )
    for message in validation.messages:
        log.warning("%s", message)
    return validation


def _need_columns(expectations: Sequence[dict[str, dict[str, Any]]], snapshot: Snapshot) -> None:
    absent = [
        f"data.expectations.{position}.{name}: the table has no {column!r}{did_you_mean(column, snapshot.columns)}"
        for position, expectation in enumerate(expectations)
        for name, arguments in expectation.items()
        for column in columns_of(name, arguments)
        if column not in snapshot.columns
    ]
    if absent:
        raise DataError("\n".join(absent))
