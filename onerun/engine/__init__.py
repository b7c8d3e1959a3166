"""A training from its request to its result: the six stages in order, in one MLflow run that is owned here."""
