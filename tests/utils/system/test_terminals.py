"""Commands on terminals of every kind: narrow, wide, without colours, of ASCII alone; hostile names move nothing."""

import fcntl
import os
import pty
import struct
import termios

import pytest
from rich.cells import cell_len

from tests.commands import environment, line
from tests.evals.records.test_query import record, write

METRICS = ("accuracy", "robust_accuracy_0.01", "fnr_gap", "robust_accuracy_0.1")
HOSTILE = "loan\x1b]0;owned\x07_mlp_\x1b[31mllr\u202e+日本語"


@pytest.fixture
def records(tmp_path):
    """Records of long, wide and hostile names with many metrics."""
    names = ("loan_mlp_causal_adv+group_gap", "loan_mlp_adversarial_debiasing+causal_al_random+llr", HOSTILE)
    keys = ("accuracy", "robust_accuracy_0.01", "fnr_gap", "robust_accuracy_0.1")
    metrics = [dict.fromkeys(keys, i / 10) for i in range(1, 4)]
    write(tmp_path, "loan", [record(i, name=names[i - 1], metrics=metrics[i - 1]) for i in range(1, 4)])
    return tmp_path


def at_terminal(folder, columns, *words, **variables):
    """The lines that a command writes to a terminal of so many columns, as the terminal receives them."""
    child, end = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        own = environment() | {"TRILEMMA_EVALS": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"} | variables
        own.pop("COLUMNS", None)
        os.chdir(folder)
        os.execve(words[0], words, own)
    received = b""
    try:
        while part := os.read(end, 65536):
            received += part
    except OSError:  # the other end is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, received
    return received.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 160])
def test_a_list_fits_and_names_what_it_leaves_out(records, columns):
    """All metrics are shown or named, whole, whatever the names do."""
    out = at_terminal(records, columns, *line("evaluate", f"columns=[{','.join(METRICS)}]"))
    assert max(map(cell_len, out.splitlines())) <= columns
    assert set(METRICS) <= {word.strip(",.:") for word in out.split()}
    assert ("No room for" in out) == (columns == 80)
    assert out.replace("\n", "").isprintable()
    assert r"loan\x1b]0;owned\x07_mlp" in out


@pytest.mark.parametrize(
    "variables", [{"LANG": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "TERM": "dumb", "NO_COLOR": "1"}]
)
def test_a_terminal_of_ascii_gets_nothing_else(records, variables):
    out = at_terminal(records, 80, *line("evals.table", "dataset=loan", "metrics=accuracy"), **variables)
    assert out.isascii()
    assert "Mean +- standard deviation" in out
    assert "\x1b" not in out
