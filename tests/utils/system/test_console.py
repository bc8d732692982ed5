"""What is printed survives any encoding of the terminal."""

import io
import sys

import pytest

from tests.commands import process
from utils.system.console import complain, say, show_everything


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "0.8 +- 0.1, a->b... ?"),
        ("latin-1", "0.8 ± 0.1, a->b... ?"),
        ("utf-8", "0.8 ± 0.1, a→b… 年"),
    ],
)
def test_what_an_encoding_lacks_is_said_otherwise(monkeypatch, encoding, shown):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    show_everything()
    say("0.8 ± 0.1, a→b… 年")
    complain("0.8 ± 0.1, a→b… 年")
    assert [stream.buffer.getvalue().decode(encoding) for stream in streams] == [f"{shown}\n", f"error: {shown}\n"]


def test_a_table_is_printed_on_an_ascii_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.delenv("TRILEMMA_EVALS", raising=False)
    answer = process("evals.table", "dataset=example", "metrics=accuracy", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert "+-" in answer.out
