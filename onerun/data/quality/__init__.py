"""The door to Great Expectations: the only place that imports it, which costs 2.7 CPU seconds."""
