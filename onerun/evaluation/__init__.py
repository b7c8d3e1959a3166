"""Evaluate a model on the frozen test part, beside a baseline and the champion."""
