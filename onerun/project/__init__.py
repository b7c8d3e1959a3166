"""A new project of a team: what `onerun init` writes, and where it is taken from."""
