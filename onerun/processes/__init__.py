"""Processes of this machine: identity, programs, their output, a watchdog."""
