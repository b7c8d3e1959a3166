"""DECIDE: pure functions and frozen models. No network, no clock, no globals, no platform."""
