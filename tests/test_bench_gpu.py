"""The benchmark of a GPU, on the CPU: every line of it runs, and what it prints is a section of docs/speed.md."""

import re
import subprocess

import pytest
import torch

import paths_config

SCRIPT = str(paths_config.ROOT / "tests" / "benchmarks" / "gpu.sh")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_one_line_and_exits_with_3():
    done = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout == "There is no GPU that torch can see here.\n"


@pytest.mark.slow
def test_small_budgets_on_the_cpu_print_every_table():
    done = subprocess.run([SCRIPT, "--device", "cpu", "--small"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("## On one ")
    assert re.search(r"^CUDA tests: .*(passed|skipped)", done.stdout, re.M)
    assert re.search(r"^\| float32 \| [\d,]+ \| \d+% \|$", done.stdout, re.M)
    shares = re.findall(
        r"^\| (trades|trades\+dafa) \| (none|AutoAttack) \| ([\d.]+) \| ([\d.]+) \|$", done.stdout, re.M
    )
    assert [row[:2] for row in shares] == [
        (method, attacks) for method in ("trades", "trades+dafa") for attacks in ("none", "AutoAttack")
    ]
    assert all(0 <= float(worst) <= float(average) <= 1 for *_, average, worst in shares)
    assert re.search(r"^3 causal_adv of loan in one stack, .*: [\d.]+ s a model\.$", done.stdout, re.M)
