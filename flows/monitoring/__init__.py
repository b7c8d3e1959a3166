"""What the exporter says."""
