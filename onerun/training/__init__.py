"""How a snapshot becomes a fitted estimator: read (table.py), fitted (boosting.py, fitting.py)."""
