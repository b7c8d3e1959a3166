"""The only package that imports Great Expectations, which costs 2.7 CPU seconds."""
