"""WHEN: order, retries and ownership of the run."""
