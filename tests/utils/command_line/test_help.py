"""The help fits two screens, explains every option in a sentence, and its words are words of the command line."""

import re
import subprocess
import sys
from collections import defaultdict

import pytest
import yaml

from evals import database, look, scm
from evals.__main__ import COMMANDS as EVALS
from evals.__main__ import main
from tests.commands import command, composed, environment, house, refused
from utils.command_line.evals_help import VERBS, answer, explain_command
from utils.command_line.help import MOST_SET, describe, purposes, take_topic
from utils.command_line.overrides import CONFIG, keys
from utils.records.settings import at

OPTIONS = [path for path in sorted(CONFIG.rglob("*.yaml")) if path.parent != CONFIG and path.parent.name != "help"]
COMMANDS = ("train", "evaluate")
WORD = re.compile(r"    (\S+?)=(.*?)(?:  .*)?")  # of a setting


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    with house(tmp_path):
        yield


def shown(name: str, *words: str) -> list[str]:
    answer = command(name, *words)
    assert answer.code == 0, answer
    assert answer.out.endswith("\n")
    return answer.out.splitlines()


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.relative_to(CONFIG).with_suffix("").as_posix())
def test_every_option_begins_with_a_sentence(path):
    sentence = describe(path)
    assert re.fullmatch(r"(?:[A-Z]|\w+[_:]).{15,}\.", sentence), "write what the option does in its first comment"


def test_a_sentence_ends_at_its_own_full_stop(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "# @package _global_\n# As x (Li et al. 2020,\n# arXiv 1.2), fast. Not all of it.\na: 1  # b\n# c.\n"
    )
    assert describe(path) == "As x (Li et al. 2020, arXiv 1.2), fast."


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_two_screens_and_names_every_option_of_every_group(name):
    lines = shown(name, "--help")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80
    words = set(re.findall(r"[\w/.]+", "\n".join(lines)))
    defaults = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["defaults"]
    groups = {key.removeprefix("override ") for entry in defaults if isinstance(entry, dict) for key in entry}
    for group in groups - {"hydra/help", "hydra/job_logging"}:
        assert {group, *(path.stem for path in (CONFIG / group).glob("*.yaml"))} <= words
    assert set(MOST_SET[name]) <= words
    assert sum(f"python {name}.py" in line for line in lines) >= 4


def test_the_help_of_a_training_names_what_else_there_is():
    text = "\n".join(shown("train", "--help"))
    phrases = ("hydra/launcher", "trainer/schedule", "experiment", "-m ", "--help all", "--help NAME")
    assert all(phrase in text for phrase in phrases)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_people_set_most_are_keys(name):
    assert set(MOST_SET[name]) <= set(keys(name))


def test_the_defaults_in_help_are_those_of_a_training():
    lines = shown("train", "--help")
    text = re.sub(r"\s+", " ", "\n".join(lines))
    config = composed()
    for key, value in (("seed", config["seed"]), ("trainer.epochs", config["trainer"]["epochs"])):
        assert re.search(rf" {key} [^\[]* \[{value}\]", text)
    assert re.search(rf" epsilon.radius [^\[]* \[{config['epsilon']['radius']}\]", text)
    assert "[erm]" in text


@pytest.mark.parametrize(("name", "group"), [(name, group) for name in COMMANDS for group in purposes(name)])
def test_help_of_a_group_fits_and_explains_each_option(name, group):
    lines = shown(name, "--help", group)
    assert max(len(line) for line in lines if " " in line.strip()) <= 80
    assert [line.partition("=")[2] for line in lines if line.startswith(f"{group}=")] == sorted(
        path.stem for path in (CONFIG / group).glob("*.yaml")
    )
    text = re.sub(r"\s+", " ", "\n".join(lines))
    assert all(describe(path) in text for path in (CONFIG / group).glob("*.yaml"))


@pytest.mark.parametrize("group", ["epsilon", "trainer"])
def test_the_settings_in_help_are_words_of_a_training_that_change_nothing(group):
    found = defaultdict(list)
    for line in shown("train", "--help", group):
        if line.startswith(f"{group}="):
            option = line
        elif match := WORD.fullmatch(line):
            found[option].append(f"{match[1]}={match[2]}")
    assert sum(map(len, found.values())) > 8
    for option, words in found.items():
        assert composed(option, *words) == composed(option)


@pytest.mark.parametrize("topic", ["dafa", "regularizer=dafa"])
def test_an_option_is_explained_alone(topic):
    answer = command("train", "--help", topic)
    assert answer.code == 0
    assert answer.out.startswith("regularizer=dafa\n")
    assert "regularizer.dafa.strength=1.0" in answer.out
    assert "regularizer=trades" not in answer.out


def test_an_option_that_several_groups_have_is_explained_for_each():
    out = command("train", "--help", "none").out
    assert {"scm=none", "prepare=none"} <= set(out.splitlines())


def test_what_is_not_there_is_refused_with_what_is_like_it():
    refused(command("train", "--help", "regulariser"), "no group, option or setting; did you mean regularizer")
    refused(command("train", "--help", "epochz"), "did you mean epochs")
    refused(command("evaluate", "--help=modle"), "no group, option or setting")


@pytest.mark.parametrize(
    ("name", "topic", "key", "option"),
    [
        ("train", "seed", "seed", ""),
        ("train", "trainer.lr", "trainer.lr", "trainer=sgd"),
        ("train", "permitted", "decide.permitted", "decide=group_exact"),
        ("evaluate", "where", "where", ""),
    ],
)
def test_help_of_a_setting_has_its_sentence_its_default_and_the_options_that_have_it(name, topic, key, option):
    """As the configuration has it."""
    lines = shown(name, "--help", topic)
    text = re.sub(r"\s+", " ", " ".join(lines))
    assert max(map(len, lines)) <= 80
    assert option in text
    values = re.findall(rf"^{re.escape(key)}=(\S*)", "\n".join(lines), re.MULTILINE)
    path = CONFIG / (option.replace("=", "/") if option else name)
    own = at(yaml.safe_load(path.with_suffix(".yaml").read_text()), key.rpartition(".")[2] if option else key)
    assert ("null" if own is None else str(own)) in values


@pytest.mark.parametrize(
    ("words", "topic", "left"),
    [
        (["seed=1"], None, ["seed=1"]),
        (["--help"], "", ["--help"]),
        (["-h", "attack=square"], "attack=square", ["-h"]),
        (["-h", "epsilon=0.1"], "", ["-h", "epsilon=0.1"]),
        (["a=1", "--help", "all", "b=2"], "all", ["a=1", "--help", "b=2"]),
        (["--help=attack", "-m"], "attack", ["--help", "-m"]),
        (["--help", "-m"], "", ["--help", "-m"]),
    ],
)
def test_a_topic_stands_behind_the_flag(words, topic, left):
    assert take_topic(words) == (topic, left)


@pytest.mark.parametrize("name", [*EVALS, *(f"database {verb}" for verb in VERBS)])
def test_the_help_of_every_command_fits_two_screens(name):
    command_name, *verb = name.split()
    lines = explain_command(command_name, [*verb, "--help"]).splitlines()
    assert 8 < len(lines) <= 50
    assert max(map(len, lines)) <= 80
    assert explain_command(command_name, [*verb, "--help", "all"]).splitlines() == lines


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("select", ("--help", "near"), "how many runners-up"),
        ("select", ("--help=near",), "how many runners-up"),
        ("look", ("people.csv", "--help", "favourable"), "the class of the label that is good"),
        ("scm", ("--help", "people"), "how many people are shown"),
        ("scm", ("--help", "scm.noise"), "additive, or flow"),
        ("database", ("merge", "--help"), "from other machines"),
        ("database", ("--help", "merge"), "from other machines"),
        ("database", ("--help", "failed"), "one row per run"),
    ],
)
def test_help_of_one_option_of_a_command(name, words, said):
    text = explain_command(name, words)
    assert said in re.sub(r"\s+", " ", text)
    assert len(text) < len(explain_command(name, ("--help",)))


@pytest.mark.parametrize("name", EVALS)
def test_the_options_of_a_command_are_all_in_its_help(name):
    """Those of its yaml, or those that the command itself takes."""
    path = CONFIG / f"{name}.yaml"
    own = {
        "look": look.KEYS[1:],
        "scm": scm.OWN,
        "database": [k for _, keys in database.COMMANDS.values() for k in keys],
    }
    keys = yaml.safe_load(path.read_text()) if path.is_file() else own[name]
    text = explain_command(name, ("--help",))
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize("name", EVALS)
def test_a_misspelt_topic_is_answered_with_those_like_it(name, capsys):
    assert answer(name, ("--help", "datset")) == 2
    assert "datset" in capsys.readouterr().err


@pytest.mark.parametrize("name", EVALS)
def test_help_comes_before_what_the_command_imports(name):
    """In a process that may import none of it, as python -m starts it."""
    start = "import sys; sys.modules.update(dict.fromkeys(['torch', 'pandas', 'hydra'])); sys.argv = ['-m']"
    start += f"; sys.orig_argv = ['python', '-m', 'evals.{name}']; sys.argv += ['--help']; import evals"
    ended = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, env=environment())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == explain_command(name, ("--help",))


@pytest.mark.parametrize("word", ["select", "selct"])
def test_a_command_that_is_given_as_a_word_is_named(word, capsys):
    assert main([word]) == 2
    assert capsys.readouterr().err.endswith("write python -m evals.select\n")


def test_help_takes_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, shown("train", "--help", "epsilon"))) <= 60
