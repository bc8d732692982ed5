"""Several GPUs: whatever runs the jobs, each takes the next of those that its process sees. Their numbers are faked."""

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands import SMALL, Answer, composed, environment, house, line, refused
from utils.configuration.run_identity import identity
from utils.launchers.batched import spread
from utils.run_store import RunStore
from utils.runs.sweep import Job
from utils.system import devices

# in every process of a sweep: as many devices as CUDA_VISIBLE_DEVICES names, else as there are; what a run has chosen
# is noted, and computed on the CPU
FAKE = """
import importlib.abc, importlib.util, json, os, sys

def seen():
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return int(os.environ["FAKED_DEVICES"]) if given is None else len([d for d in given.split(",") if d])

def fake_count(torch):
    torch.cuda.device_count, torch.cuda.is_available = seen, lambda: seen() > 0

def fake_choice(devices):
    choose = devices.choose_device
    def noting(name):
        device = choose(name)
        with open(os.environ["NOTED"], "a") as file:
            note = [devices._job_number(), str(device), os.environ.get("CUDA_VISIBLE_DEVICES")]
            file.write(json.dumps(note) + "\\n")
        return devices.torch.device("cpu")
    devices.choose_device = noting

FAKES = {"torch": fake_count, "utils.system.devices": fake_choice}

class Faking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in FAKES:
            return None
        fake = FAKES.pop(name)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def run_and_fake(module):
            run(module)
            fake(module)
        spec.loader.exec_module = run_and_fake
        return spec

sys.meta_path.insert(0, Faking())
"""
SWEEP = ("-m", "dataset.rows=200", *(word for word in SMALL if not word.startswith("device")))
BEHIND = {"joblib": "hydra-joblib-launcher", "submitit_local": "hydra-submitit-launcher", "ray": "ray"}


@pytest.fixture
def on_devices(tmp_path, monkeypatch) -> Any:
    """Starts a sweep on a machine of so many devices; its answer and, of each job, its device and what it saw."""
    with house(tmp_path) as folder:
        (folder / "fake").mkdir()
        (folder / "fake" / "sitecustomize.py").write_text(FAKE)
        monkeypatch.setenv("NOTED", str(folder / "noted"))

        def start(count: int, *words: str) -> Any:
            monkeypatch.setenv("FAKED_DEVICES", str(count))
            there = environment() | {"PYTHONPATH": f"{folder / 'fake'}{os.pathsep}{environment()['PYTHONPATH']}"}
            ended = subprocess.run(
                line("train", *SWEEP, *words), capture_output=True, text=True, env=there, check=False
            )
            answer = Answer(ended.returncode, ended.stdout, ended.stderr)
            noted = folder / "noted"
            lines = noted.read_text().splitlines() if noted.exists() else []
            return answer, sorted(tuple(json.loads(each)) for each in lines)

        yield start


def need(launcher: str) -> None:
    if launcher in BEHIND and BEHIND[launcher] not in {d.name for d in importlib.metadata.distributions()}:
        pytest.skip(f"hydra/launcher={launcher} is not installed")


# --- one process -----------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch) -> Callable[..., None]:
    def fake(count: int, job: int = 0) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(devices, "_job_number", lambda: job)

    return fake


@pytest.mark.parametrize(
    ("count", "job", "device"), [(0, 5, "cpu"), (1, 5, "cuda:0"), (3, 0, "cuda:0"), (3, 5, "cuda:2"), (3, 6, "cuda:0")]
)
def test_job_k_takes_device_k_modulo_their_count(machine, count, job, device):
    machine(count, job)
    assert str(devices.choose_device("auto")) == device


@pytest.mark.parametrize(("name", "told"), [("cuda:2", "sees 2 CUDA devices, numbered from 0"), ("cuda:9", "sees 2")])
def test_a_device_beyond_those_that_are_there_is_refused(machine, name, told):
    machine(2)
    with pytest.raises(ValueError, match=told):
        devices.choose_device(name)


def test_stacks_take_turns_where_none_has_asked_for_a_device():
    jobs = [Job(i, (), {"device": asked}, Path()) for i, asked in enumerate(["auto", "auto", "auto", "cpu", "cuda:1"])]
    spread_out = [stack[0].params["device"] for stack in spread([[job] for job in jobs], 2)]
    assert spread_out == ["cuda:0", "cuda:1", "cuda:0", "cpu", "cuda:1"]
    assert [stack[0].params["device"] for stack in spread([[job] for job in jobs], 1)][:2] == ["auto", "auto"]


def test_the_device_is_no_part_of_what_a_run_is():
    assert identity(composed(), "") == identity(composed("device=cuda:1"), "") == identity(composed("device=auto"), "")


# --- every launcher --------------------------------------------------------------------------------------------


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("launcher", "words", "expected"),
    [
        ("basic", (), [(0, "cuda:0", None), (1, "cuda:1", None), (2, "cuda:0", None)]),
        ("joblib", ("hydra.launcher.n_jobs=2",), [(0, "cuda:0", None), (1, "cuda:1", None), (2, "cuda:0", None)]),
        ("batched", ("hydra.launcher.max_models=1",), [(0, "cuda:0", None), (0, "cuda:0", None), (0, "cuda:1", None)]),
        (
            "submitit_local",
            ("hydra.launcher.gpus_per_node=2",),
            [(0, "cuda:0", "0,1"), (1, "cuda:1", "0,1"), (2, "cuda:0", "0,1")],
        ),
        ("submitit_local", (), [(0, "cpu", ""), (1, "cpu", ""), (2, "cpu", "")]),
    ],
)
@pytest.mark.slow
def test_jobs_take_turns_under_every_launcher(on_devices, launcher, words, expected):
    need(launcher)
    answer, noted = on_devices(2, f"hydra/launcher={launcher}", "seed=0,1,2", *words)
    assert answer.code == 0, answer
    assert noted == expected


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "seen"), [("1", {"0", "1"}), ("0.5", {"0", "1"}), ("0", {""})])
def test_a_task_of_ray_sees_the_devices_that_it_was_given_alone(on_devices, gpus, seen):
    need("ray")
    words = (f"hydra.launcher.ray.remote.num_gpus={gpus}", "hydra.launcher.ray.remote.num_cpus=1", "seed=range(4)")
    more = ("+hydra.launcher.ray.init.num_cpus=4", "+hydra.launcher.ray.init.num_gpus=2")
    answer, noted = on_devices(2, "hydra/launcher=ray", *words, *more)
    if "Ray did not start" in answer.err:
        pytest.skip(answer.err.strip().splitlines()[-1])
    assert answer.code == 0, answer
    assert {device for _, device, _ in noted} == {"cpu" if gpus == "0" else "cuda:0"}
    assert {visible for *_, visible in noted} <= seen


@pytest.mark.e2e
@pytest.mark.parametrize(("visible", "device"), [("1", "cuda:0"), ("", "cpu"), ("0,1", "cuda:1")])
@pytest.mark.slow
def test_jobs_take_turns_on_the_devices_that_are_visible(on_devices, monkeypatch, visible, device):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    answer, noted = on_devices(8, "seed=0,1")
    assert answer.code == 0, answer
    assert noted[1] == (1, device, visible)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_device_that_is_not_there_is_refused_by_every_job(on_devices, tmp_path):
    answer, _ = on_devices(2, "seed=0,1", "device=cuda:2")
    refused(answer, "torch sees 2 CUDA devices, numbered from 0")
    assert not RunStore(tmp_path / "evals" / "loan.json").all()
