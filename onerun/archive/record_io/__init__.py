"""Records of an MLflow store as rows: read from its database or its API, written to its database."""
