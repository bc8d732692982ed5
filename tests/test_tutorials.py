"""The tutorials under docs/, carried out as they stand in a copy of the project, print what they say they print.

A block behind a paragraph that names a `path` is the file of that path, other blocks of Python are run. Every line of
a block of text stands in what the commands before it print, numbers within a tolerance, since processors differ in the
last bits and a row may fall on the other side.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import paths_config

pytestmark = pytest.mark.e2e

BLOCK = re.compile(r"(?P<before>(?:[^\n]+\n)*)\n```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d+\.\d+")
CLOSE = 0.03  # twelve of 400 test rows; of numbers above .3 a tenth
PROBE = """
import contextlib, io, json, sys, pytest
from tests.commands import command
steps, said = json.load(open("steps.json")), []
for kind, step in steps:
    if kind == "python":
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(step, {})
        said.append([0, out.getvalue(), ""])
    elif step[0] == "pytest":
        said.append([int(pytest.main(["-n0", "-p", "no:cacheprovider", *step[1:]])), "", ""])
    else:
        answer = command(*step)
        said.append([answer.code, answer.out, answer.err])
json.dump(said, open("said.json", "w"))
"""


def blocks(page):
    """The blocks of a page: files by path, steps to carry out, and lines that the steps before them print."""
    found = []
    for block in BLOCK.finditer((paths_config.ROOT / "docs" / page).read_text()):
        kind, text = block["kind"], block["text"]
        path = re.search(r"`([\w/]+/\w+\.(?:py|yaml))`", block["before"])
        if kind == "text":
            found.append(("text", text))
        elif path and kind in ("python", "yaml"):
            found.append((path[1], text))
        elif kind == "python":
            found.append(("python", text))
        else:
            found += [("command", program(line)) for line in text.splitlines()]
    return found


def program(line):
    """The words of a command after the interpreter, the program without its ending."""
    words = shlex.split(line)
    assert words[0] == ".venv/bin/python", line
    return [words[1].removesuffix(".py"), *words[2:]] if words[1] != "-m" else words[2:]


def holds(expected, line):
    """Whether a line is the expected one, as far as … leaves it open, with numbers near those of it."""
    parts = [re.sub(r"\s+", " ", part).strip() for part in NUMBER.sub("#", expected).split("…")]
    pattern = ".*".join(re.escape(part).replace(r"\#", "#").replace("#", f"({NUMBER.pattern})") for part in parts)
    found = re.fullmatch(rf"(?:.*\W)?{pattern}.*", re.sub(r"\s+", " ", line).strip())
    wanted = list(map(float, NUMBER.findall(expected)))
    return found and all(
        abs(float(a) - b) <= max(CLOSE, abs(b) / 10) for a, b in zip(found.groups(), wanted, strict=True)
    )


def carried_out(page, folder):
    """What each step of a page prints in a copy of the project, in one process."""
    for name in ("config", "utils", "evals", "tests", "docs"):
        shutil.copytree(paths_config.ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.json", "*.png"))
    for name in ("train.py", "evaluate.py", "paths_config.py", "pyproject.toml"):
        shutil.copy(paths_config.ROOT / name, folder / name)
    found = blocks(page)
    for path, text in found:
        if "/" in path:
            (folder / path).write_text(text)
    (folder / "steps.json").write_text(json.dumps([(k, step) for k, step in found if k in ("python", "command")]))
    ended = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return found, json.loads((folder / "said.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("page", ["first_decision.md", "own_method.md"])
def test_a_tutorial_does_what_it_says(page, tmp_path):
    found, answers = carried_out(page, tmp_path)
    said, before = iter(answers), ""
    last = None
    for kind, text in found:
        if kind in ("python", "command"):
            code, out, err = next(said)
            assert code == 0, (text, out, err)
            before = before * (last in ("python", "command")) + out
        elif kind == "text":
            for line in text.splitlines():
                assert any(holds(line, own) for own in before.splitlines()), f"{line!r} is not in\n{before}"
        last = kind


def test_a_line_that_is_not_printed_is_found():
    assert holds("accuracy  0.84  […] paired", "  accuracy 0.8350   [0.1, 0.2]  paired")
    assert not holds("accuracy  0.84", "accuracy 0.74")
    assert not holds("accuracy  0.84", "balanced 0.84")
