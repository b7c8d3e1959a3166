"""Moving aliases by hand."""
