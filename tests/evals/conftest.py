"""A place that tests of commands which read run databases share."""

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with the databases in it and the weights below it."""
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
