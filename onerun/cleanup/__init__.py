"""Maintenance, done: the plan of a store, carrying it out, and what is left of a clean-up that was
killed.
"""
