"""MLflow's own tables, read and changed directly where the database can be reached: in sets instead of one by one."""
