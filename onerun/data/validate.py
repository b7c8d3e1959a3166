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
    """Check the expectations, record the results, and only then fail when a critical one does not
    hold.

    Raises:
        DataError: An expectation names a column that the table does not have.
        ExpectationsBroken: With one line per critical expectation that does not hold or could not
            be checked.
    """
    if not expectations:
        return Validation(expectations=0)
    _require_columns(expectations, snapshot)
    from onerun.data import snapshots
    from onerun.data.quality import checks

    checked = checks.check_table(
        expectations,
        columns=list(snapshot.columns),
        rows=snapshot.rows,
        read=lambda columns: snapshots.rows(snapshot, columns, None),
        source=snapshot.source,
    )
    validation = summarise(checked.outcomes)
    result = {
        "validation": validation.model_dump(),
        "outcomes": [outcome.model_dump(mode="json") for outcome in checked.outcomes],
        "great_expectations": json.loads(checked.result),
    }
    log_text(
        run_id,
        json.dumps(result, indent=1, ensure_ascii=False),
        f"{names.ARTIFACT_VALIDATION}/result.json",
    )
    log_text(run_id, checked.page, f"{names.ARTIFACT_VALIDATION}/data_docs.html")
    _raise_if_critical(validation)
    for message in validation.messages:
        log.warning("%s", message)
    return validation


def _raise_if_critical(validation: Validation) -> None:
    if validation.failed_critical:
        raise ExpectationsBroken(
            f"{validation.failed_critical} of {validation.expectations} expectations do not hold:\n"
            + "\n".join(validation.messages)
            + f"\nAll of them, with examples: {names.ARTIFACT_VALIDATION}/data_docs.html of the run"
        )


def _require_columns(expectations: Sequence[dict[str, dict[str, Any]]], snapshot: Snapshot) -> None:
    missing = []
    for position, expectation in enumerate(expectations):
        for name, arguments in expectation.items():
            for column in columns_of(name, arguments):
                if column not in snapshot.columns:
                    near = did_you_mean(column, snapshot.columns)
                    key = f"data.expectations.{position}.{name}"
                    missing.append(f"{key}: the table has no {column!r}{near}")
    if missing:
        raise DataError("\n".join(missing))
