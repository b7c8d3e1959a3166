"""Traces with their spans and assessments come back like everything else."""

import pytest
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource

from onerun.archive import Selection, back_up, restore
from tests.archive.conftest import Store
from tests.archive.everything import everything


def trace(uri: str, experiment: str) -> str:
    """Makes a trace of two spans with tags and an assessment. Returns: its id."""
    import mlflow

    mlflow.tracing.reset()  # what hands traces over remembers the store that it began with
    client = MlflowClient(uri)
    root = client.start_trace(
        "predict", inputs={"rows": [1, 2]}, tags={"note": "ü"}, experiment_id=experiment
    )
    inner = client.start_span(
        "score", root.trace_id, parent_id=root.span_id, attributes={"depth": 3}
    )
    client.end_span(root.trace_id, inner.span_id, outputs=[0.5])
    client.end_trace(root.trace_id, outputs={"mean": 0.5})
    mlflow.flush_trace_async_logging()
    source = AssessmentSource("HUMAN", "me")
    mlflow.log_feedback(
        trace_id=root.trace_id, name="correct", value=True, source=source, rationale="looked at it"
    )
    return str(root.trace_id)


@pytest.mark.parametrize("whole", [True, False], ids=["all of it", "one experiment"])
def test_p4_traces_come_back(
    whole: bool, store: Store, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, other = list(store.runs)[:2]
    kept, elsewhere = trace(store.uri, experiment), trace(store.uri, other)
    client, run = MlflowClient(store.uri), store.runs[experiment][0]
    client.link_traces_to_run([kept], run)
    before = everything(store.uri)
    said = before[f"trace {kept}"]
    assert all(word in said for word in ("predict", "score", "looked at it", '"depth"'))
    archive = back_up(
        Selection() if whole else Selection(experiments=(experiment,)), "backups", "daily"
    )
    assert archive.counts["trace"] == (2 if whole else 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, apply=True)
    after = everything(empty)
    assert after[f"trace {kept}"] == said
    assert (f"trace {elsewhere}" in after) == whole
    linked = MlflowClient(empty).search_traces(locations=[experiment], run_id=run)
    assert [found.info.trace_id for found in linked] == [kept]
    again = restore(archive.uri, apply=True)
    assert (again.new, again.differ) == (0, 0)
