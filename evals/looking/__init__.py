"""Workings of ``python -m evals.look``: what a table holds, as figures, as text, as a page and as a schema."""
