"""Where it runs: profiles, and what servers and pools need besides."""
