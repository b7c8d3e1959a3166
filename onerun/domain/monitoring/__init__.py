"""What is watched: the series that Prometheus scrapes, and how they follow from what a store holds."""
