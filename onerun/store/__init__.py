"""An MLflow store as a whole: a database, a folder of files, or behind a server."""
