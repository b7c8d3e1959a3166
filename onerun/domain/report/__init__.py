"""The report: one page that stands alone, for people who look rather than read."""
