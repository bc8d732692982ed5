"""Workings of ``python -m evals.explain``: explanations as text, as JSON and as a table."""
