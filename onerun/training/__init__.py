"""How a snapshot becomes a fitted model: encoded (table.py), fitted (local.py, boosting.py), here
or in a program.
"""
