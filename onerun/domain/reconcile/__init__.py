"""Runs and flow runs whose owner is gone: what is known of them, and what follows from it."""
