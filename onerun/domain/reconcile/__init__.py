"""Runs and flow runs whose owner is dead: what is known of them, and what follows from it."""
