"""What CONTRIBUTING.md tells a newcomer to write, written as it stands into a copy of the project, works at once."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch

import paths_config
from tests.commands import SMALL, command, house, refused
from utils.metrics import curve

pytestmark = pytest.mark.e2e

STEP = re.compile(r"^\*\*\d\. (?P<intro>.*?)^```\w+\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`")
METRIC = "+evaluation.metrics.mine={_target_: utils.metrics.curve.mine, _partial_: true}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with all that CONTRIBUTING.md adds to it."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("config", "utils", "evals", "tests"):
        shutil.copytree(paths_config.ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.json"))
    for name in ("train.py", "evaluate.py", "paths_config.py", "pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(paths_config.ROOT / name, folder / name)
    for path, text in told():
        if (folder / path).exists():
            have = (folder / path).read_text()
            assert have.count("\nmetrics:\n") == 1, path
            text = have.replace("\nmetrics:\n", f"\nmetrics:\n{text}")
        (folder / path).write_text(text)
    return folder


def told():
    """Path and content of every file that CONTRIBUTING.md shows, each in a numbered step that names it first."""
    text = (paths_config.ROOT / "CONTRIBUTING.md").read_text()
    return [(FILE.search(step["intro"])[1], step["text"]) for step in STEP.finditer(text)]


PROBE = """
import json, sys, pytest
from tests.commands import SMALL, command
few = ("dataset.rows=400", *SMALL)
answers = [
    command("train", "regularizer=logit_pairing", *few),
    command("evals.plot", "dataset=loan", "x=accuracy", "y=brier_score", "out=front.svg"),
    command("train", "dataset=disc", "model=naive_bayes", "dataset.rows=400", "epsilon.evaluate=[0.1]", "device=cpu"),
]
json.dump([vars(answer) for answer in answers], open("answers.json", "w"))
pytest.main(["-n0", "-p", "no:cacheprovider", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def answers(copy):
    """What commands of the copy say, one process carrying out all of them; last what its new tests do."""
    folders = {name: str(copy / name.partition("_")[2].lower()) for name in ("TRILEMMA_EVALS", "TRILEMMA_WEIGHTS")}
    own = [path for path, _ in told() if path.startswith("tests/")]
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *own],
        cwd=copy,
        env={**folders, "PATH": "/usr/bin:/bin", "HOME": str(copy), "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads((copy / "answers.json").read_text())
    assert [answer["code"] for answer in said] == [0, 0, 0], said
    return [*(answer["out"] for answer in said), ended.stdout]


def test_every_file_of_the_four_methods_is_told():
    assert [path for path, _ in told()] == [
        "utils/regularizers/logit_pairing.py",
        "config/regularizer/logit_pairing.yaml",
        "tests/utils/regularizers/test_logit_pairing.py",
        "utils/metrics/brier.py",
        "config/evaluation/tabular.yaml",
        "tests/utils/metrics/test_brier.py",
        "utils/models/naive_bayes.py",
        "config/model/naive_bayes.yaml",
        "tests/utils/models/test_naive_bayes.py",
        "utils/datasets/disc.py",
        "config/dataset/disc.yaml",
        "tests/utils/datasets/test_disc.py",
    ]


@pytest.mark.slow
def test_a_new_term_and_a_new_metric_are_trained_printed_filed_and_plotted(copy, answers):
    assert re.search(r"^  brier_score +0\.\d{4}$", answers[0], re.MULTILINE)
    records = [json.loads(path.read_text()) for path in (copy / "outputs").rglob("record.json")]
    (record,) = [record for record in records if record["name"] == "loan_mlp_logit_pairing"]
    assert 0 < record["metrics"]["brier_score"] < 1
    assert "Brier score" in (copy / "front.svg").read_text()


@pytest.mark.slow
def test_a_new_learner_is_trained_on_a_new_data_set(answers):
    assert "filed as record 1" in answers[2]
    assert "disc_naive_bayes_erm" in answers[2]


@pytest.mark.slow
def test_the_tests_of_the_new_methods_pass(answers):
    assert "5 passed" in answers[3]


def forgets(predict, batch, ctx):
    x = batch.x.clone().requires_grad_()
    return {"steepness": torch.autograd.grad(predict(x).sum(), x)[0].norm().item()}


def doubles(predict, batch, ctx):
    return {"accuracy": 1.0}


@pytest.mark.parametrize("model", [(), ("model=random_forest", "attack=square_columns", "evaluation=black_box")])
@pytest.mark.parametrize(
    ("metric", "words"),
    [(forgets, "evaluation.metrics.mine "), (doubles, "evaluation.metrics.mine reports ['accuracy'], which another")],
)
def test_a_metric_that_fails_is_told_before_any_training(tmp_path, monkeypatch, model, metric, words):
    """One screen that names it, no record, whatever the model; a forest says itself that it has no gradient."""
    monkeypatch.setattr(curve, "mine", metric, raising=False)
    with house(tmp_path) as folder:
        refused(command("train", METRIC, "device=cpu", *model), words)
        assert not list(folder.glob("evals/*.json"))


def test_a_metric_that_fails_is_told_before_a_stored_model_is_judged_again(tmp_path, monkeypatch):
    """Before the first of the metrics has judged the test rows, which may take hours."""
    judged = []
    monkeypatch.setattr(curve, "mine", lambda predict, batch, ctx: judged.append(len(batch.y)) or {}, raising=False)
    monkeypatch.setattr(curve, "bad", forgets, raising=False)
    with house(tmp_path):
        assert command("train", *SMALL, "dataset.rows=400").code == 0
        refused(
            command("evaluate", "id=1", METRIC, METRIC.replace("mine", "bad"), "device=cpu"), "evaluation.metrics.bad"
        )
    assert judged
    assert max(judged) < 80  # the test rows


def test_a_sweep_in_stacks_tells_a_failing_metric_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(curve, "mine", forgets, raising=False)
    with house(tmp_path) as folder:
        answer = command("train", "-m", "hydra/launcher=batched", "seed=0,1", METRIC, "device=cpu", "dataset.rows=400")
        assert answer.code != 0
        assert "evaluation.metrics.mine ended in RuntimeError at line" in answer.out + answer.err
        assert "Traceback" not in answer.out + answer.err
        assert not list(folder.rglob("*.safetensors"))
