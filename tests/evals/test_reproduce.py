"""The command that a record gives: the program itself says whether it means the same run.

Every record here is trained through the command line, and its command is launched again: a run of the same identity is
found finished, so that "finished before" is the program's own word that nothing was left out.
"""

import json
import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict

import paths_config
from evals import query, reproduce
from tests.commands import SMALL, command, house
from utils.build import identity
from utils.overrides import CONFIG, normalised, resolved
from utils.run_store import run_id

LOAN = ("dataset=loan", "dataset.rows=200", *SMALL)
LINES = {
    "the defaults": LOAN,
    "numbers": ("dataset=lin", "dataset.rows=200", *SMALL, "regularizer=adversarial", "epsilon=8/255", "seed=3"),
    "weighted terms": (
        *(*LOAN, "regularizer=[causal_adv,adversarial]", "regularizer.adversarial.weight=0.5", "epsilon=0.1"),
        *("trainer=sgd", "+trainer.optimizer.nesterov=true", "trainer.weight_decay=1e-4"),
    ),
    "other options": (*LOAN, "model=logistic", "decide=fixed", "epsilon=ramp", "regularizer=adversarial", "scm=linear"),
    "a preset": ("+experiment=capify_small", "hydra.mode=RUN", *LOAN, "regularizer=llr", "seed=1"),
    "the name of a search": ("+experiment=study", "study='a name'", *LOAN),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Records by what is special about them, and a function that launches a line among them."""
    with house(tmp_path_factory.mktemp("house")):
        records = {}
        for what, words in LINES.items():
            answer = command("train", *words)
            assert answer.code == 0, answer
            dataset = next(w for w in words if w.startswith("dataset=")).partition("=")[2]
            records[what] = query.read(dataset)[-1]
        yield records


@pytest.mark.parametrize("what", LINES)
def test_the_command_of_a_record_is_of_the_same_run(trained, what):
    line = reproduce.command(trained[what])
    program, script, *words = shlex.split(line)
    answer = command("train", *words)
    assert (program, script, answer.code) == ("python", "train.py", 0), answer
    assert f"finished before, record {trained[what]['doc_id']}" in answer.out, line


IMAGES = (
    "dataset=celeba_jobs regularizer=[trades,dafa] epsilon=4/255 model=densenet seed=2",
    "dataset=celeba_jobs trainer/schedule=cosine evaluation=autoattack attack=apgd epsilon.evaluate=[0.01,0.003]",
    "+experiment=dafa_digits hydra.mode=RUN regularizer=[pgd_at,dafa] seed=1",
)


@pytest.mark.parametrize("words", IMAGES)
def test_configurations_of_images_that_are_not_here_have_the_same_identity(words):
    """By ``build.identity``, which names a run; composed by Hydra before and after."""
    before = composed(words.split())
    after = composed(shlex.split(reproduce.command({"params": before}))[2:])
    assert run_id(identity(before, "data")) == run_id(identity(after, "data"))


POISONERS = [p.stem for p in sorted((CONFIG / "attack").glob("*.yaml")) if "\npoison:" in p.read_text()]


@pytest.mark.parametrize("attack", POISONERS)
def test_the_command_of_a_poisoned_run_composes_its_search_without_what_is_of_the_machine(attack):
    words = [f"attack={attack}", "attack.poison.budget=495", "attack.poison.objective=unfair"]
    before = composed(["dataset=lin", *words, "++attack.poison.workers=3"])["attack"]["poison"]
    line = reproduce.command({"params": composed(["dataset=lin", *words, "++attack.poison.workers=3", "seed=1"])})
    again = composed(shlex.split(line)[2:])["attack"]["poison"]
    assert {key: again[key] for key in before if key != "workers"} == {
        k: v for k, v in before.items() if k != "workers"
    }
    assert set(words) <= set(shlex.split(line))
    assert "workers" not in line


def composed(words):
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        found = compose("train", overrides=normalised(words), return_hydra_config=True)
    chosen = dict(found.hydra.runtime.choices)
    with open_dict(found):
        del found["hydra"]
    return resolved(found, chosen)


def test_only_what_differs_is_said(trained):
    small = " ".join(sorted(w for w in SMALL if not w.startswith("device")))
    words = shlex.split(reproduce.command(trained["the defaults"]))[2:]
    assert words[:2] + words[-1:] == ["dataset=loan", "regularizer=erm", "seed=0"]
    assert " ".join(sorted(words[2:-1])) == " ".join(sorted([*small.split(), "dataset.rows=200"]))


def test_repetitions_share_all_but_the_seed(trained):
    record = trained["a preset"]
    again = json.loads(json.dumps(record)) | {"params": record["params"] | {"seed": 7}}
    assert reproduce.command(again) == f"{reproduce.setting(record)} seed=7"


@pytest.mark.parametrize("file", ["evals/example.json", "tests/evals/older_runs.json"])
def test_the_records_of_the_example_compose_what_they_hold(file):
    """Their own settings, read by Hydra from the words, less what no result depends on."""
    records = json.loads((paths_config.ROOT / file).read_text())["_default"].values()
    for line, record in {reproduce.setting(record): record for record in records}.items():
        words = [word.replace("epsilon=", "epsilon.radius=") for word in shlex.split(line)[2:]]
        made = reproduce._composed(tuple(words)).resolved
        for part in ("scm", "attack", "regularizer", "epsilon", "decide", "trainer", "dataset", "fit_on"):
            assert made[part] == record["params"][part], (part, words)


def test_a_schedule_of_another_function_is_chosen_by_its_name():
    made = reproduce._composed(("dataset=digits", "regularizer=trades", "trainer/schedule=cosine"))
    choices = {"dataset": "digits", "model": made.chosen["model"], "trainer": made.chosen["trainer"]}
    line = reproduce.command({"params": {**made.resolved, "choices": choices}})
    assert "trainer/schedule=cosine" in shlex.split(line)
    assert not [word for word in shlex.split(line) if word.startswith(("trainer.schedule", "~"))]


@pytest.mark.parametrize("text", ["a b", "it's", "null", "1e3", "true", "a=b,c", "8/255", "", "${seed}", "\\", "[x]"])
def test_texts_survive_the_command_line(text):
    """Read back by Hydra's own parser."""
    value = OverridesParser.create().parse_override(f"title={reproduce._written(text)}").value()
    assert str(getattr(value, "text", value)).replace("\\\\", "\\") == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imported": True}, "did not train it"),
        ({"params": {"seed": 0}}, "did not train it"),
        ({"params": {"choices": {"dataset": "lost"}, "regularizer": {"erm": {}}, "seed": 0}}, "no such option"),
    ],
)
def test_what_no_command_gives_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        reproduce.command({"params": {"choices": {}, "seed": 0}} | change)


def test_a_preset_that_is_gone_is_named_behind_the_line():
    record = json.loads((paths_config.ROOT / "evals" / "example.json").read_text())["_default"]["1"]
    gone = record | {"params": record["params"] | {"experiment": "long_gone"}}
    assert reproduce.command(gone).endswith("seed=0  # filed under experiment=long_gone")
