"""The plots people expect, as PNG. Made once: the same bytes are the run's artifact and stand in
the report.
"""
