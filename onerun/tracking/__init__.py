"""The door to MLflow: the only place that imports it. Always by `run_id`, never through its active run."""
