"""A store behind an MLflow server: what its API allows, and messages for the rest."""
