"""The help fits two screens, explains every option in a sentence, and its words are words of the command line."""

import re
from collections import defaultdict

import pytest
import yaml

from tests.commands import command, composed, house, refused
from utils.command_line.help import MOST_SET, describe, purposes, take_topic
from utils.command_line.overrides import CONFIG, keys

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
    assert len(lines) <= 60
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
    phrases = ("hydra/launcher", "trainer/schedule", "experiment", "-m ", "--help all", "--help GROUP")
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


def test_a_group_that_is_not_there_is_refused_with_those_like_it():
    refused(command("train", "--help", "regulariser"), "--help regulariser: there is no such group; did you mean reg")
    refused(command("evaluate", "--help=modle"), "there is no such group")


@pytest.mark.parametrize(
    ("words", "topic", "left"),
    [
        (["seed=1"], None, ["seed=1"]),
        (["--help"], "", ["--help"]),
        (["-h", "attack=square"], "", ["-h", "attack=square"]),
        (["a=1", "--help", "all", "b=2"], "all", ["a=1", "--help", "b=2"]),
        (["--help=attack", "-m"], "attack", ["--help", "-m"]),
        (["--help", "-m"], "", ["--help", "-m"]),
    ],
)
def test_a_topic_stands_behind_the_flag(words, topic, left):
    assert take_topic(words) == (topic, left)


def test_help_takes_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, shown("train", "--help", "epsilon"))) <= 60
