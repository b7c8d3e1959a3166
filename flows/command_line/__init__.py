"""What all commands share: arguments, links, Prefect's address, a temporary server."""
