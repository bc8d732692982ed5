"""Every number that can be set has a range, stated beside its default, and whatever is outside is refused by name."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.commands import command, house, refused
from utils.words.ranges import CONFIG, SAID, ranges, require_ranges, settings, stated

FILES = [p for p in sorted(CONFIG.rglob("*.yaml")) if not {"experiment", "help"} & set(p.parts)]
COMMANDS = [p.stem for p in FILES if p.parent == CONFIG]
NUMBERS = [-1, 0, 0.5, float("nan"), float("inf"), -float("inf"), 1e300, 10**12, 10**400]
OTHERS = ["many", "1e", True, None, [], [1], [-1], ["a"], [1e300], [float("nan")], {"a": 1}, "1/0"]
OF_OTHERS = ("hydra.launcher",)  # whose settings are those of plugins


def prefix(path: Path) -> str:
    return "".join(f"{part}." for part in path.parent.relative_to(CONFIG).parts)


def is_number(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def takes_numbers(kind: Any) -> bool:
    """Whether an annotation is that of a number, or of a list of them, be it beside other kinds."""
    if kind in (int, float):
        return True
    inner = get_args(kind)
    if get_origin(kind) is Sequence:
        return inner[0] in (int, float, str | float)
    return get_origin(kind) in (Union, UnionType) and any(map(takes_numbers, inner))


def numeric(node: Any, prefix: str) -> dict[str, Any]:
    """The keys below a node of a yaml whose default is a number or whose function takes one, with their defaults."""
    target = node.get("_target_", "") if isinstance(node, Mapping) else ""
    module, _, name = target.rpartition(".")
    kinds = inspect.signature(getattr(importlib.import_module(module), name)).parameters if "utils." in target else {}
    found = {}
    for key, value in node.items():
        if is_number(value) or (key in kinds and takes_numbers(kinds[key].annotation)):
            found[f"{prefix}{key}"] = value
        elif isinstance(value, dict):
            found |= numeric(value, f"{prefix}{key}.")
    return found


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIG).with_suffix("").as_posix())
def test_every_number_states_its_range_and_lies_in_it(path):
    ranged = {f"{prefix(path)}{key}": stated(comment) for key, comment in settings(path)}
    for key, default in numeric(yaml.safe_load(path.read_text()) or {}, prefix(path)).items():
        assert ranged[key] is not None, f"{key} of {path.name} states no range in its comment"
        assert "${" in str(default) or ranged[key].accepts(default), key


@pytest.mark.parametrize("name", COMMANDS)
def test_a_value_outside_is_refused_with_key_and_range(name):
    for key, by_option in ranges(name).items():
        for option, expected in by_option.items():
            choices = {"choices": {key.partition(".")[0]: option}}
            wrong = [value for value in (*NUMBERS, *OTHERS) if not expected.accepts(value)]
            assert len(wrong) > 10, f"{key} takes almost everything: {expected}"
            for value in wrong:
                with pytest.raises(ValueError) as error:
                    require_ranges(nested(key, value) | choices, name)
                assert str(error.value) == f"{key}={value!r}: expected {expected}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_ends_that_are_printed_are_taken_as_they_are_typed(name):
    """Read by Hydra's parser, to which 1e6 is no whole number; an open end is refused."""
    parser = OverridesParser.create()
    for key, by_option in ranges(name).items():
        for option, expected in by_option.items():
            low, high = str(expected).partition(", or {")[0].rpartition(" in ")[2][1:-1].split(", ")
            for end, bracket in ((low, expected.ends[0]), (high, expected.ends[1])):
                listed = SAID[expected.kind].startswith("a list")
                value = parser.parse_override(f"{key}={f'[{end}]' if listed else end}").value()
                choices = {"choices": {key.partition(".")[0]: option}}
                with nullcontext() if bracket in "[]" else pytest.raises(ValueError, match="expected"):
                    require_ranges(nested(key, value) | choices, name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_setting_of_several_options_has_one_range_or_each_states_its_own(name):
    for key, by_option in ranges(name).items():
        group = key.partition(".")[0]
        if len({str(expected) for expected in by_option.values()}) > 1:
            own = {p.stem for p in (CONFIG / group).glob("*.yaml") if f"\n{key.partition('.')[2]}:" in p.read_text()}
            assert own == set(by_option)


@pytest.mark.parametrize(
    ("comment", "inside", "outside"),
    [
        ("number in [0, 1)", [0, 0.5], [1, -0.1, True, "0.5", None, [0.5]]),
        ("whole number in (0, 1e3]; rows", [1, 1000], [0, 1.0, 1001]),
        ("null or whole number in [2, 3]", [None, 2], [1, "null "]),
        ("sqrt, log2, null or number in (0, 1]", ["sqrt", "log2", None, 1], ["log", 0]),
        ("numbers in [0, 1]; train", [[], [0, 1.0]], [1, [2], [0.5, None]]),
        ("radius in [0, 2]", [0, 0.1, "8/255", "1e-3"], ["-1/2", "3", "a", "1/0", float("nan"), "nan", "inf"]),
        ("radii in [0, 2]", [["8/255", 1]], [0.1, ["x"]]),
        ("auto, null or number in [0, 1], or {fpr: 0.01}", ["auto", None, 0.5, {"fpr": 1}], ["fair", {}, {"fpr": 2}]),
        ("number in [0, 1]", [0.5], [{"fpr": 0.5}]),
    ],
)
def test_what_a_comment_says_is_what_is_taken(comment, inside, outside):
    expected = stated(comment)
    assert [value for value in inside if not expected.accepts(value)] == []
    assert [value for value in outside if expected.accepts(value)] == []


@pytest.mark.parametrize("comment", ["", "of the gradient", "a share in (0, 1]", "number", "number in [0, 1] of rows"])
def test_other_comments_state_no_range(comment):
    assert stated(comment) is None


WRONG = [
    ("train", ["seed=1.5"], "seed=1.5: expected a whole number in [0, 1000000000000000000]"),
    ("train", ["seed=1e300"], "seed=1e+300"),
    ("train", ["threads=100000"], "threads=100000: expected a whole number in [1, 1024]"),
    ("train", ["epsilon=1e300"], "epsilon.radius=1e+300: expected a radius such as 0.1 or 8/255 in [0, 1e6]"),
    ("train", ["epsilon.evaluate=[1e300]"], "epsilon.evaluate=[1e+300]: expected a list of radii"),
    ("train", ["dataset.rows=1000000000000"], "dataset.rows=1000000000000: expected a whole number in [10, 100000000]"),
    (
        "train",
        ["model.hidden=[10000000000]"],
        "model.hidden=[10000000000]: expected a list of whole numbers in [1, 1000000]",
    ),
    ("train", ["operating_points.intervals=1000000000000"], "operating_points.intervals=1000000000000: expected"),
    ("train", ["attack.evasion.steps=0"], "attack.evasion.steps=0: expected a whole number in [1, 100000]"),
    (
        "train",
        ["regularizer=group_gap", "regularizer.group_gap.weight=1e30"],
        "weight=1e+30: expected a number in [0, ",
    ),
    ("train", ["-m", "trainer.lr=0.1,nan"], "trainer.lr=nan: expected a number in (0, 1e6]"),
    ("train", ["-m", "seed=1,2", "hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: expected null or"),
    (
        "train",
        ["-m", "hydra/launcher=batched", "seed=1,2", "hydra.launcher.max_models=0"],
        "hydra.launcher.max_models=0",
    ),
    ("evaluate", ["id=1", "attack.evasion.rel_step=inf"], "attack.evasion.rel_step=inf: expected a number in (0, 100]"),
    ("evaluate", ["threads=0"], "threads=0: expected a whole number in [1, 1024]"),
    ("evals.plot", ["dataset=loan", "frames=1e300"], "frames=1e+300: expected a whole number in [1, 10000]"),
    ("evals.select", ["dataset=loan", "near=-1"], "near=-1: expected a whole number in [0, 1000]"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with house(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.mark.parametrize(("program", "words", "phrase"), WRONG)
def test_a_wrong_number_is_one_screen_before_anything_is_done(home, program, words, phrase):
    refused(command(program, *words), phrase)
    assert not (home / "evals").exists()
    assert not (home / "weights").exists()


# --- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train"], "epochs: 10  # whole number in [1, 1000000]"),
        (["train"], "'n': 1000  # whole number in [1, 10000000]"),
        (["train", "epsilon=8/255"], "radius: 8/255  # radius in [0, 1e6]"),
        (["train", "attack=square"], "p_init: 0.8  # number in (0, 1]"),
        (["evaluate", "threads=2"], "threads: 2  # whole number in [1, 1024]"),
    ],
)
@pytest.mark.usefixtures("home")
def test_help_shows_what_a_number_of_the_chosen_options_may_be(words, line):
    answer = command(*words, "--help", "all")
    assert answer.code == 0, answer.err
    assert line in [shown.strip() for shown in answer.out.splitlines()]


@pytest.mark.parametrize("name", ["train", "evaluate"])
@pytest.mark.usefixtures("home")
def test_help_shows_the_range_of_every_number(name):
    """Values are read by PyYAML, which drops the comments; interpolations stay as they are typed."""
    answer = command(name, "--help", "all")
    shown = answer.out.partition("Values, as KEY=VALUE")[2].partition("\n\n")[2].partition("\n\n")[0]
    numbers = [line for line in shown.splitlines() if is_number(yaml.safe_load(line.strip(" -").rpartition(": ")[2]))]
    unranged = [line for line in numbers if " # " not in line and not line.strip().startswith("-")]
    assert len(numbers) > 20
    assert unranged == []
    assert "${attack.evasion.threat.norm}" in shown
