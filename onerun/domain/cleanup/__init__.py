"""Maintenance, decided: what a store holds, what a policy keeps, who protects it, and what would be
done.
"""
