"""The version, said here alone: the build, the command and a new project's pyproject.toml take it from here."""

__version__ = "0.1.0"
