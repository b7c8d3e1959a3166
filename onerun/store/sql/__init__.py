"""A store whose database can be reached: MLflow's tables, read and changed in sets."""
