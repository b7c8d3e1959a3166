"""What lives and what is dead, and setting it right."""
