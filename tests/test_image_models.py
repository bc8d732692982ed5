"""Models of images through the command line: train, go on, skip, sweep, judge, load, refuse."""

import re
import shlex
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from PIL import Image

import paths_config
from evals.records import reproduce
from tests.benchmarks.bench_causal import built
from tests.commands import ROOT, command, environment, house, line, process, refused
from utils.metrics import ensemble
from utils.model_zoo import from_database, predictor
from utils.models.resnet18 import ResNet18
from utils.models.small_cnn import SmallCNN
from utils.run_store import RunStore
from utils.runs import progress
from utils.runs.memory import memory_of

pytestmark = pytest.mark.e2e

# a training of a second or two, judged by few attacks
SMALL = (
    "device=cpu",
    "dataset=digits",
    "trainer.epochs=2",
    "trainer.lr=0.05",
    "trainer.augment.padding=0",
    "epsilon=0.1",
    "epsilon.evaluate=[0.1]",
    "evaluation.metrics.classification.intervals=20",
    "evaluation.metrics.ensemble.intervals=20",
    "evaluation.metrics.ensemble.rows=60",
    "evaluation.metrics.ensemble.attacks.pgd.steps=3",
    "~evaluation.metrics.ensemble.attacks.apgd_ce",
    "~evaluation.metrics.ensemble.attacks.apgd_t",
    "~evaluation.metrics.masking",
    "~evaluation.metrics.curve",
)
FAST = ("regularizer.trades.steps=2", "regularizer.trades.rel_step=0.5")
NARROW = "model.widths=[4,8,8]"


def records(dataset: str = "digits") -> list[dict]:
    return RunStore(paths_config.database(dataset)).all()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory):
    """One model of TRADES with DAFA, trained by the command line."""
    with house(tmp_path_factory.mktemp("shop")) as folder:
        answer = command("train", *SMALL, *FAST, "regularizer=[trades,dafa]")
        assert answer.code == 0, answer.err
        yield folder


@pytest.fixture
def own(tmp_path: Path):
    """A folder without any model."""
    with house(tmp_path) as folder:
        yield folder


def test_the_record_says_methods_classes_and_units(shop):
    (record,) = records()
    assert record["name"] == "digits_small_cnn_trades+dafa"
    assert record["preprocessing"]["shape"] == [1, 8, 8]
    assert record["preprocessing"]["class_names"] == [str(digit) for digit in range(10)]
    assert record["units"]["radius"] == "pixels in [0, 1]"
    assert len(record["class_weights"][0]["margin"]) == 10
    assert {"accuracy", "worst_class_accuracy", "robust_accuracy_0.1", "robust_accuracy_worst_class_0.1"} <= set(
        record["metrics"]
    )


def test_robust_accuracy_is_below_clean_accuracy_and_the_worst_class_below_the_mean(shop):
    metrics = records()[0]["metrics"]
    assert metrics["robust_accuracy_worst_class_0.1"] <= metrics["robust_accuracy_0.1"]
    assert metrics["worst_class_accuracy"] <= metrics["accuracy"]


def test_a_finished_run_is_skipped(shop):
    answer = command("train", *SMALL, *FAST, "regularizer=[trades,dafa]")
    assert "finished before, record 1" in answer.out


def test_a_loaded_model_takes_pixels_and_has_the_stored_accuracy(shop):
    from sklearn.datasets import load_digits

    record = records()[0]
    model = from_database(1, "digits")
    assert not model.training
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32).unsqueeze(1)
    right = model.decide(x) == torch.tensor(load_digits().target)
    assert float(right.double().mean()) == pytest.approx(record["metrics"]["accuracy"], abs=0.1)  # of all rows


def test_the_predictor_takes_bytes_and_gives_a_probability_for_each_class(shop):
    from sklearn.datasets import load_digits

    images = (load_digits().images * 255 / 16).round().astype("uint8")[:5]
    answer = predictor(1, "digits")(images[:, None])
    assert list(answer.columns) == [*(f"probability_{c}" for c in range(10)), "decision"]
    assert answer.filter(like="probability").sum(axis=1).to_numpy() == pytest.approx([1.0] * 5, abs=1e-5)


def test_the_predictor_refuses_images_of_another_shape(shop):
    with pytest.raises(ValueError, match=r"images of \(1, 8, 8\)"):
        predictor(1, "digits")(torch.zeros(2, 3, 8, 8, dtype=torch.uint8).numpy())


def test_a_stored_model_is_judged_again_by_the_options_of_its_data_set(shop):
    few = [word for word in SMALL if word.startswith(("~eval", "evaluation"))]
    answer = command("evaluate", "dataset=digits", "id=1", "epsilon=0.05", "attack.evasion.steps=2", "device=cpu", *few)
    assert answer.code == 0, answer.err
    evaluation = records()[0]["evaluations"]["pgd_linf@0.05"]
    weaker, trained = evaluation["metrics"]["robust_accuracy_0.05"], records()[0]["metrics"]["robust_accuracy_0.1"]
    assert weaker >= trained


@pytest.mark.slow  # as has one that was killed and goes on
def test_the_same_run_in_another_process_has_the_same_bits(shop, tmp_path):
    words = (*SMALL, *FAST, "regularizer=[trades,dafa]")
    first = records()[0]
    with house(tmp_path):
        assert process("train", *words).code == 0
        (again,) = records()
    assert again["weights"]["sha256"] == first["weights"]["sha256"]
    assert again["metrics"] == first["metrics"]


TERMS, ADAPTATIONS = ("trades", "pgd_at", "mart"), ("dafa", "frl", "cfa", "wat", "fair_tat")
COMBINED = [  # seconds each; trades and erm train alone below
    pytest.param(
        ("adversarial", "pgd_at", "mart"),
        [(TERMS[(i + 2) % 3], own) for i, own in enumerate(ADAPTATIONS)],
        id="each once",
    ),
    pytest.param(("erm", "adversarial", *TERMS), list(product(TERMS, ADAPTATIONS)), id="all", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("alone", "pairs"), COMBINED)
def test_every_method_trains_alone_and_with_every_adaptation(own, alone, pairs):
    """Each is told of margins and classes by the same two calls; trades with dafa is that of the shop."""
    words = (*SMALL, NARROW, "dataset.split=[0.1,0.1,0.8]", "~evaluation.metrics.attacked")
    combined = [f"[{term}]" for term in alone] + [f"[{','.join(pair)}]" for pair in pairs]
    answer = command("train", "-m", *words, f"regularizer={','.join(combined)}")
    assert answer.code == 0, answer.err
    assert len(records()) == len(combined)


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(own, tmp_path):
    words = (*SMALL, *FAST, "regularizer=[trades,dafa]", "trainer.epochs=4", "trainer.checkpoint_every=1")
    words = (*words, NARROW, "~evaluation.metrics.attacked")
    with subprocess.Popen(line("train", *words), env=environment(), stdout=subprocess.PIPE, text=True) as running:
        for said in running.stdout:
            if "epoch 2/4" in said:
                running.send_signal(signal.SIGKILL)
    assert [p.suffix for p in (own / "weights" / ".checkpoints").iterdir()] == [".pt"]
    answer = command("train", *words)
    assert "epoch 1/4" not in answer.out
    assert list((own / "weights" / ".checkpoints").iterdir()) == []
    (resumed,) = records()
    (tmp_path / "whole").mkdir()
    with house(tmp_path / "whole"):
        command("train", *words)
        (whole,) = records()
    assert resumed["weights"]["sha256"] == whole["weights"]["sha256"]
    assert resumed["class_weights"] == whole["class_weights"]


@pytest.mark.slow
def test_two_processes_train_as_one_that_takes_the_same_batches(own, tmp_path):
    """Without batch norm, whose statistics are those of a process's rows. Signs of small gradients differ."""
    words = (*SMALL, *FAST, "regularizer=[trades,fair_tat]", "model.norm=none", "trainer.batch_size=64")
    words = (*words, "trainer.epochs=1")
    assert command("train", *words).code == 0
    alone = from_database(1, "digits")
    (tmp_path / "two").mkdir()
    with house(tmp_path / "two"):
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
        ended = subprocess.run(
            [*start, str(ROOT / "train.py"), *words], env=environment(), capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        assert len(records()) == 1
        assert ended.stdout.count("filed as record 1") == 1
        together = from_database(1, "digits")
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-3)


# What a careless user does


def test_a_radius_in_units_of_bytes_is_refused_with_the_fraction_meant(own):
    refused(command("train", "dataset=digits", "epsilon=8"), "epsilon.radius=8", "[0, 1]", "8/255")
    refused(command("train", "dataset=digits", "epsilon.evaluate=[4]"), "epsilon.evaluate=4", "4/255")


def test_a_table_s_model_on_images_is_refused_and_the_other_way_round(own):
    refused(command("train", "dataset=digits", "model=mlp"), "model=mlp is for tables", "small_cnn")
    refused(command("train", "dataset=lin", "model=small_cnn"), "model=small_cnn is for images", "mlp")


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("regularizer=causal_adv",), "images have none"),
        (("attack=causal_pgd",), "images have none"),
        (("attack=pgd",), "images have none"),
        (("regularizer=dafa",), "regularizer=[trades,dafa]"),
        (("regularizer=[trades,frl]", "dataset.split=[0.8,0.0,0.2]", "fit_on=train"), "dataset.split"),
        (("trainer.keep=best", "dataset.split=[0.8,0.0,0.2]", "fit_on=train"), "validat"),
        (("trainer.ema=2",), "trainer.ema=2"),
        (("trainer.precision=half",), "trainer.precision='half'"),
        (("trainer/schedule=cosin",), "cosine"),
        (("+trainer.emma=0.9",), "trainer.ema"),
        (("decide=mcc",), "decide=fixed"),
        (("regularizer=group_gap",), "compares groups, and these data have one only"),
        (("regularizer=[trades,adversarial_debiasing]",), "compares groups, and these data have one only"),
        (("prepare=reweigh",), "all rows are of one (all); choose prepare=none"),
        (
            ("regularizer=half_adversarial", "regularizer.half_adversarial.share=2"),
            "share=2: expected a number in [0, 1]",
        ),
        (("regularizer=half_adversarial", "regularizer.half_adversarial.attack.loss=targeted"), "expected ce or dlr"),
        (("model.strides=[1,2]",), "strides"),
    ],
)
def test_what_does_not_fit_images_is_refused_in_a_sentence(own, words, phrase):
    answer = command("train", *SMALL, *words)
    refused(answer, phrase)
    assert not paths_config.database("digits").exists()


@pytest.mark.parametrize("norm", [pytest.param("linf", marks=pytest.mark.slow), "l1"])
def test_a_share_of_each_batch_is_attacked(own, norm):
    words = ("regularizer=[half_adversarial,dafa]", f"regularizer.half_adversarial.attack.threat.norm={norm}")
    assert command("train", *SMALL, *words, "regularizer.half_adversarial.attack.steps=3").code == 0
    (record,) = records()
    assert record["name"] == "digits_small_cnn_half_adversarial+dafa"
    assert record["class_weights"][0]["margin"] != [1.0] * 10  # it heard of the attacked rows


@pytest.fixture
def faces(own):
    """A small CelebA: 90 grey images, smiling ones lighter, men darker."""
    shade = [120 + 60 * (i % 2) - 40 * (i // 2 % 2) + i % 7 for i in range(90)]
    folder = own / "data" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for i, grey in enumerate(shade):
        Image.new("RGB", (8, 8), (grey,) * 3).save(folder / "img_align_celeba" / f"{i + 1:06}.jpg")
    marks = [f"{i + 1:06}.jpg {2 * (i % 2) - 1:2d} {2 * (i // 2 % 2) - 1:2d}" for i in range(90)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["90", "Smiling Male ", *marks, ""]))
    split = "".join(f"{i + 1:06}.jpg {min(2, i // 40)}\n" for i in range(90))
    (folder / "list_eval_partition.txt").write_text(split)
    return ("dataset=celeba", "model=small_cnn", "dataset.size=8", "trainer.batch_size=20", *SMALL[2:], SMALL[0])


@pytest.mark.parametrize(
    "words",
    [
        ("prepare=reweigh", "regularizer=[half_adversarial,group_gap]"),
        ("prepare=group_weights", "prepare.weights=[1,2]", "regularizer=[trades,adversarial_debiasing]", *FAST),
    ],
)
def test_terms_of_groups_stand_beside_robust_ones_and_prepares(faces, words):
    answer = command("train", *faces, *words, "dataset.rows=40")
    assert answer.code == 0, answer.err
    (record,) = records("celeba")
    assert record["params"]["choices"]["prepare"] == words[0].partition("=")[2]
    assert record["preprocessing"]["groups"] == ["Male=0", "Male=1"]


def test_a_method_for_images_on_a_table_is_refused(own):
    refused(command("train", "dataset=lin", "regularizer=trades"), "pixels", "table")


def test_a_damaged_checkpoint_is_named(own, monkeypatch):
    words = (*SMALL, *FAST, "regularizer=trades", "trainer.checkpoint_every=1", "trainer.epochs=2")

    def interrupted(text):
        if "epoch 1/2" in text:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress, "say", interrupted)
        assert command("train", *words).code == 130
    (checkpoint,) = (own / "weights" / ".checkpoints").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    answer = command("train", *words)
    assert answer.code != 0
    assert f"{checkpoint} is no checkpoint, or a damaged one" in answer.err
    assert "Traceback" not in answer.err


def test_where_a_step_does_not_fit_the_memory_the_batch_that_does_is_named(own, monkeypatch):
    """The network is made to run out of memory, as CUDA does, at more than 20 rows: of halvings of 128, 16 fit."""

    forward = SmallCNN.forward

    def narrow(self: SmallCNN, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 20:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, x)

    monkeypatch.setattr(SmallCNN, "forward", narrow)
    answer = command("train", *SMALL, *FAST, "regularizer=trades")
    assert answer.code == 1
    assert "does not hold a step of trainer.batch_size=128; 16 rows fit: set trainer.accumulate=8" in answer.err
    assert command("train", *SMALL, *FAST, "regularizer=trades", "trainer.accumulate=8").code == 0


# What a review found


def test_a_run_judged_at_a_radius_is_another_run_at_another_radius(own):
    """Also where no term reads it: the kept epoch depends on the attack of the validation rows."""
    words = (*SMALL, "regularizer=erm", "trainer.keep=best", "trainer.epochs=1")
    for radius in ("0.01", "0.2"):
        assert "finished before" not in command("train", *words, f"epsilon={radius}").out
    assert len({record["run_id"] for record in records()}) == 2


def test_epochs_are_judged_at_the_full_radius_also_under_a_ramp(own):
    """So that a later epoch is not worse for being attacked harder: the first is judged as a constant radius would."""
    words = (*SMALL, *FAST, "regularizer=trades", "trainer.keep=best", "trainer.epochs=1")
    said = [command("train", *words, *ramp).out for ramp in ((), ("epsilon=ramp", "epsilon.radius=0.1"))]
    clean, judged = (float(said[1].partition(f"valid {what}accuracy ")[2].split()[0]) for what in ("", "robust "))
    assert judged < clean


def test_an_adaptation_that_no_term_tells_anything_is_refused_before_the_training(own):
    refused(command("train", *SMALL, "regularizer=[erm,dafa]"), "regularizer=dafa", "[trades,dafa]")


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (
            ("regularizer=[trades,dafa]", "trainer.epochs=1"),
            ("regularizer=dafa would not act", "known after epoch 1", "trainer.epochs=1", "regularizer.dafa.warmup"),
        ),
        (
            ("regularizer=[trades,frl]", "regularizer.frl.warmup=0.9", "trainer.epochs=3"),
            ("frl would not act", "known after epoch 3"),
        ),
        (("regularizer=[trades,dafa,cfa]",), ("dafa and cfa both set the radius",)),
        (("regularizer=[half_adversarial,fair_tat]",), ("half_adversarial", "[pgd_at,fair_tat]")),
        (("regularizer=[erm,wat]",), ("regularizer=wat adapts a robust loss", "[trades,wat]")),
        (
            ("regularizer=[half_adversarial,dafa]", "regularizer.half_adversarial.weight=0"),
            ("beside it has a weight of 0",),
        ),
        (("regularizer=[trades,wat]", "regularizer.trades.weight=0"), ("trades beside it has a weight of 0",)),
        (
            ("trainer.keep=best_worst_class", "dataset.split=[0.79,0.01,0.2]"),
            ("trainer.keep=best_worst_class", "of class 2, 5 there are none"),
        ),
        (("regularizer=[trades,wat]", "regularizer.wat.weight=0"), ("regularizer.wat.weight=0", "[1, 1]")),
        (("regularizer=[trades,wat]", "dataset.split=[0.795,0.005,0.2]"), ("regularizer=wat", "validation rows")),
    ],
)
def test_an_adaptation_that_cannot_act_is_refused_before_the_training(own, words, phrases):
    refused(command("train", *SMALL, *words), *phrases)
    assert not paths_config.database("digits").exists()


@pytest.mark.parametrize(
    "words", [("regularizer=[trades,wat],[erm,dafa]",), ("regularizer=[trades,dafa]", "trainer.epochs=3,1")]
)
def test_a_sweep_with_an_adaptation_that_cannot_act_trains_nothing(own, words):
    refused(command("train", "-m", *SMALL, *words), "1 of 2 jobs cannot be run, so none was: regularizer=dafa", "#1")
    assert not paths_config.database("digits").exists()


def test_an_adaptation_that_did_not_act_is_named_in_the_record(own):
    """DAFA of strength 0: patience does not end the training before the warm-up has, and all weights stay 1."""
    words = (*SMALL, *FAST, "regularizer=[trades,dafa]", "regularizer.dafa.strength=0", "trainer.keep=best")
    assert command("train", *words, "trainer.patience=1", "trainer.epochs=4").code == 0
    (record,) = records()
    assert record["class_weights"][0]["margin"] == [1.0] * 10
    assert [said for said in record["warnings"] if "regularizer=dafa did not act" in said]


def test_a_trained_model_is_kept_where_judging_it_fails(own, monkeypatch):
    """On more rows than the rehearsal before the training tries."""
    words, table = (*SMALL, *FAST, "regularizer=trades", "trainer.checkpoint_every=1"), ensemble._table
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "_table", lambda rows, *of: table(rows, *of) if len(rows.y) <= 16 else int("no number"))
        assert command("train", *words).code == 1
    answer = command("train", *words)
    assert answer.code == 0
    assert "epoch" not in answer.out.partition("on 359 test rows")[0]


def test_torchrun_on_a_table_is_refused(own, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(command("train", "dataset=lin"), "torchrun trains one model of images")


def test_an_evaluation_is_named_by_its_norm(shop):
    few = [word for word in SMALL if word.startswith(("~eval", "evaluation"))]
    words = (
        "dataset=digits",
        "id=1",
        "evaluation.norm=l2",
        "epsilon=0.5",
        "attack.evasion.steps=1",
        "device=cpu",
        *few,
    )
    assert command("evaluate", *words).code == 0
    assert "pgd_linf_l2@0.5" in records()[0]["evaluations"]


def test_measuring_its_memory_leaves_a_model_as_it_is():
    """A batch norm would remember the rows of the trial."""
    run = built("dataset=digits", "regularizer=trades")
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    memory_of(run)
    assert all(torch.equal(before[name], tensor) for name, tensor in run.model.state_dict().items())


def test_a_launcher_of_stacks_trains_models_of_images_as_they_train_alone(shop, tmp_path):
    words = (*SMALL, *FAST, "regularizer=[trades,dafa]")
    with house(tmp_path):
        assert (
            command("train", "-m", *words, "seed=0,1", "hydra/launcher=batched", "hydra.launcher.workers=1").code == 0
        )
        together = {record["seed"]: record["weights"]["sha256"] for record in records()}
    assert together[0] == records()[0]["weights"]["sha256"]
    assert len(together) == 2


# Weights that others trained


def test_weights_of_a_file_are_judged_and_not_trained(own):
    """A network made elsewhere, by names that others use: its accuracy is that of its answers."""
    names = {"stem.0": "conv1", "stem.1": "bn1", "head": "linear"}
    torch.manual_seed(3)
    network = ResNet18([1, 8, 8], 10, mean=[0.0], std=[1.0], width=4).eval()
    state = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("pixels.")}
    for ours, theirs in names.items():
        state = {re.sub(rf"^{re.escape(ours)}\.", f"{theirs}.", key): of for key, of in state.items()}
    torch.save({"state_dict": {f"module.{key}": of for key, of in state.items()}}, own / "Public2020.pt")
    words = (*SMALL, "model=resnet18", "model.width=4", f"model.weights={own / 'Public2020.pt'}")
    assert command("train", *words).code == 0
    (record,) = records()
    assert record["name"] == "digits_resnet18_Public2020"
    test = built("dataset=digits", "model=resnet18", "model.width=4").dataset.test
    with torch.no_grad():
        right = network(test.x / 255).argmax(-1) == test.y
        assert torch.equal(from_database(1, "digits")(test.x / 255), network(test.x / 255))
    assert record["metrics"]["accuracy"] == pytest.approx(float(right.double().mean()))
    assert {"robust_accuracy_class_3_0.1_low", "robust_accuracy_class_3_0.1_high"} <= record["metrics"].keys()
    assert "finished before" in command("train", *words).out
    again = shlex.split(reproduce.command(record).partition("train.py ")[2])
    assert "finished before" in command("train", "device=cpu", *again).out
    torch.save({"state_dict": {**state, "linear.bias": torch.zeros(10)}}, own / "Public2020.pt")
    assert command("train", *words).code == 0
    assert len(records()) == 2  # other weights under the same name are another run


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (("model=resnet18", "model.weights=absent.pt"), ("model.weights=absent.pt is not there",)),
        (("model=resnet18", "model.weights=absent.pt", "regularizer=trades"), ("is not trained", "regularizer=trades")),
        (("model=small_cnn", "+model.weights=absent.pt"), ("model.weights is not a setting",)),
        (("model=resnet18", "model.weights_scaling=[[0.5],[0.5]]"), ("model.weights_scaling", "no file is given")),
    ],
)
def test_weights_that_cannot_be_judged_are_refused(own, words, phrases):
    refused(command("train", *SMALL, *words), *phrases)
