"""From a source to a checked snapshot."""
