"""DECLARE: what to train (recipe) and where it runs (profile)."""
