"""The kinds of plots that ``evals.plot`` draws."""
