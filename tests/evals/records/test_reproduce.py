"""The command that a record gives: the program itself says whether it means the same run.

Every record here is trained through the command line, and its command is launched again: a run of the same identity is
found finished, so that "finished before" is the program's own word that nothing was left out.
"""

import copy
import json
import shlex
import subprocess

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

import paths_config
from evals.records import query, reproduce
from tests.commands import SMALL, command, house
from utils.command_line.overrides import CONFIG, normalise, resolve
from utils.configuration.run_identity import identity, run_id
from utils.scms.identity import upgrade
from utils.words import quoting

pytestmark = pytest.mark.e2e

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
    """By ``identity``, which names a run; composed by Hydra before and after."""
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
        found = compose("train", overrides=normalise(words), return_hydra_config=True)
    chosen = dict(found.hydra.runtime.choices)
    with open_dict(found):
        del found["hydra"]
    return resolve(found, chosen)


def test_only_what_differs_is_said(trained):
    small = " ".join(sorted(w for w in SMALL if not w.startswith("device")))
    words = shlex.split(reproduce.command(trained["the defaults"]))[2:]
    assert words[:2] + words[-1:] == ["dataset=loan", "regularizer=erm", "seed=0"]
    assert " ".join(sorted(words[2:-1])) == " ".join(sorted([*small.split(), "dataset.rows=200"]))


def test_repetitions_share_all_but_the_seed(trained):
    record = trained["a preset"]
    again = json.loads(json.dumps(record)) | {"params": record["params"] | {"seed": 7}}
    assert reproduce.command(again) == f"{reproduce.setting(record)}{reproduce.alone(record)} seed=7"


@pytest.mark.parametrize("file", ["evals/example.json", "tests/evals/older_runs.json"])
def test_the_records_of_the_example_compose_what_they_hold(file):
    """Their own settings, read by Hydra from the words, less what no result depends on."""
    records = json.loads((paths_config.ROOT / file).read_text())["_default"].values()
    for line, record in {reproduce.setting(record): record for record in records}.items():
        words = [word.replace("epsilon=", "epsilon.radius=") for word in shlex.split(line)[2:]]
        made = reproduce._composed(tuple(words)).resolved
        for part in ("scm", "attack", "regularizer", "epsilon", "decide", "trainer", "dataset", "fit_on"):
            held = record["params"][part]
            assert made[part] == (upgrade(held) if part == "scm" else held), (part, words)


def test_a_schedule_of_another_function_is_chosen_by_its_name():
    made = reproduce._composed(("dataset=digits", "regularizer=trades", "trainer/schedule=cosine"))
    choices = {"dataset": "digits", "model": made.chosen["model"], "trainer": made.chosen["trainer"]}
    line = reproduce.command({"params": {**made.resolved, "choices": choices}})
    assert "trainer/schedule=cosine" in shlex.split(line)
    assert not [word for word in shlex.split(line) if word.startswith(("trainer.schedule", "~"))]


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


# --- records of anybody ----------------------------------------------------------------------------------------

EXAMPLE = next(iter(json.loads((paths_config.ROOT / "evals/example.json").read_text())["_default"].values()))
INJECTED = "0; touch X #"


def changed(place, value):
    """The first record of the example with another value at a dotted place below its params."""
    record = copy.deepcopy(EXAMPLE)
    *above, last = place.split("/")
    node = record["params"]
    for step in above:
        node = node[step]
    node[last] = value
    return record


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("seed", INJECTED, "no whole number"),
        ("seed", None, "no whole number"),
        ("seed", True, "no whole number"),
        ("experiment", "a\ntouch X", "no word of the command line"),
        ("experiment", "\x1b]0;x\x07", "no word of the command line"),
        ("choices/dataset", "../../x", "no such option"),
        ("choices/dataset", ["loan"], "no such option"),
        ("choices/model", INJECTED, "no such option"),
        ("choices/scm", "known\nx", "no such option"),
        ("regularizer", {INJECTED: {"weight": 1}}, "no such option"),
        ("regularizer", {"../erm": {"weight": 1}}, "no such option"),
        ("model/_target_", "os.system", "which no option names"),
        ("model/_target_", ["os.system"], "which no option names"),
        ("dataset/_target_", "utils.model_zoo.from_database", "which no option names"),
        ("trainer/optimizer/_target_", "builtins.exec", "which no option names"),
        ("model/_args_", ["touch X"], "is no setting"),
        ("model/hidden", [{"_target_": "os.system"}], "which no option names"),
        ("a b; touch X", 1, "no word of the command line"),
        ("model/x\ny", 1, "no word of the command line"),
        ("dataset/path", "a\nb", "no word of the command line"),
    ],
)
def test_a_record_that_asks_for_more_than_options_has_no_command(place, value, message):
    with pytest.raises(ValueError, match=message) as refused:
        reproduce.command(changed(place, value))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "value", ["$(touch X)", "`touch X`", "'; touch X; '", '"; touch X; "', "${oc.env:HOME}", INJECTED]
)
def test_values_of_a_record_are_one_word_that_means_them(value):
    """By the shell itself, which prints what it made of the line."""
    record = changed("dataset/path", value)
    line = reproduce.command(record)
    heard = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    assert heard.stdout.splitlines() == shlex.split(line)
    (word,) = [word for word in shlex.split(line) if word.startswith("+dataset.path=")]
    assert quoting.read_override(word) == ("dataset.path", value)


def test_the_preset_that_is_gone_is_named_so_that_no_shell_carries_it_out():
    line = reproduce.command(changed("experiment", "gone'; touch X; '"))
    name = line.partition("# filed under ")[2]
    assert shlex.split(name) == ["experiment=gone'; touch X; '"]
