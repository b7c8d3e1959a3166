"""A store behind an MLflow server, as the maintenance asks for it: what the API allows, and the rest said."""
