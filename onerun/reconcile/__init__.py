"""Runs with status RUNNING whose training is dead: found, explained, ended."""
