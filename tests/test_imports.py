"""A command imports what it uses: what stays out costs seconds a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, SMALL, environment, house

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")
TABLES = ("pandas", "pydantic", "sklearn", "scipy.stats", "joblib", "matplotlib")
FEW = ("evaluation.metrics.ensemble.rows=10", "evaluation.metrics.masking.rows=10", "evaluation.metrics.curve.rows=10")
LISTINGS = {  # the others: test_cli.py
    "train.py": (*SMALL, "regularizer=causal_adv", "dataset.rows=100"),  # of the finished run
    "-m evals.database": ("check", "dataset=loan"),
}
PROGRAM = """
import atexit, json, runpy, sys
atexit.register(lambda: open("modules.json", "w").write(json.dumps(sorted(sys.modules))))
sys.argv, path = sys.argv[1:], sys.argv[1]
sys.path.insert(0, {root!r})
if path.endswith(".py"):
    runpy.run_path({root!r} + "/" + path, run_name="__main__")
else:
    sys.argv[0] = "-m"
    runpy.run_module(path.split()[1], run_name="__main__", alter_sys=True)
"""


def modules(program: str, *words: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = PROGRAM.format(root=str(ROOT))
    ended = subprocess.run(
        [sys.executable, "-c", code, program, *words], capture_output=True, text=True, env=environment()
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(Path("modules.json").read_text()))


@pytest.fixture(scope="module")
def filed(tmp_path_factory):
    """A folder with a default run, and what the run had imported."""
    with house(tmp_path_factory.mktemp("imports")) as folder:
        found = modules("train.py", *SMALL, "regularizer=causal_adv", "dataset.rows=100")
        yield folder, found


@pytest.mark.e2e
@pytest.mark.parametrize("name", [*COMPILER, *TABLES])
def test_a_run_on_generated_data_imports_neither_compiler_nor_table_libraries(filed, name):
    assert "torch" in filed[1]
    assert name not in filed[1]


@pytest.mark.e2e
@pytest.mark.slow
def test_a_run_on_images_imports_no_compiler(tmp_path):
    with house(tmp_path):
        found = modules(
            "train.py", "dataset=digits", "regularizer=[trades,dafa]", "trainer.epochs=2", "device=cpu", *FEW
        )
    assert not found & set(COMPILER)


@pytest.mark.e2e
@pytest.mark.parametrize("program", LISTINGS)
def test_listings_do_without_torch(filed, program):
    assert "torch" not in modules(program, *LISTINGS[program])
