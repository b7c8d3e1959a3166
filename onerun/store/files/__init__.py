"""MLflow's store of files (`./mlruns`), healthy or damaged: read and cleaned up as folders."""
