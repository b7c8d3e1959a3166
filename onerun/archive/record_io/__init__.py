"""Records of an MLflow store as rows, read from database or API, written to a database."""
