"""What the exporter reports."""
