"""The words of a command line before Hydra sees them, and what its errors mean."""

import contextlib
import os
import signal
import subprocess
from fractions import Fraction

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.commands import environment, line
from utils import cli
from utils.command_line import overrides
from utils.command_line.overrides import CONFIG, keys, normalise, options
from utils.runs import progress
from utils.system import interrupts

NUMBERS = ["0.1", ".1", "1e-3", "8/255", "0", "-0.1", "1/0", "nan", "inf", "0.1,0.2", "8/255,0.1", "range(1,3)"]
NUMBERS += ["range(0.1,0.3,0.1)", "choice(0.1,0.2)", "choice(8/255,0.1)", "interval(0.1,0.2)", "sort(0.2,0.1)", "'0.1'"]
KEYS = keys("train")
NAMES = ["ramp", "constant", "constant,ramp", "choice(constant,ramp)", "glob(*)"]


# --- epsilon ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_given_to_epsilon_are_the_radius(value):
    assert normalise([f"epsilon={value}"]) == [f"epsilon.radius={value}"]


@pytest.mark.parametrize("value", NAMES)
def test_names_given_to_epsilon_choose_the_option(value):
    assert normalise([f"epsilon={value}"]) == [f"epsilon={value}"]


def test_a_name_and_a_number_choose_the_option_and_set_its_radius():
    assert normalise(["epsilon=ramp", "epsilon=0.1"]) == ["epsilon=ramp", "epsilon.radius=0.1"]


@pytest.mark.parametrize("value", ["0.1,ramp", "ramp,8/255", "choice(ramp,0.1)"])
def test_a_sweep_of_both_is_refused(value):
    with pytest.raises(ValueError, match="mixes radii and names"):
        normalise([f"epsilon={value}"])


@pytest.mark.parametrize("value", ["", "null", "true", "[0.1]", "{a:1}", "0.1,null"])
def test_what_is_neither_number_nor_name_is_refused(value):
    with pytest.raises(ValueError, match="epsilon"):
        normalise([f"epsilon={value}"])


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_a_prefix_of_hydra_stays(prefix):
    assert normalise([f"{prefix}epsilon=0.1"]) == [f"{prefix}epsilon.radius=0.1"]


@given(st.fractions(min_value=0, max_denominator=10**6), st.booleans())
def test_every_number_is_a_radius(value, decimal):
    text = str(float(value)) if decimal else f"{value.numerator}/{value.denominator}"
    assert normalise([f"epsilon={text}"]) == [f"epsilon.radius={text}"]


@given(st.from_regex(r"[a-z_][a-z_0-9]*", fullmatch=True).filter(lambda t: t not in ("nan", "inf", "null")))
def test_every_identifier_is_a_name(name):
    assume(name not in ("true", "false"))
    assert normalise([f"epsilon={name}"]) == [f"epsilon={name}"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.fractions(min_value=0, max_value=9, max_denominator=500), min_size=1, max_size=3))
def test_hydra_accepts_what_comes_out_and_sets_that_radius(values):
    text = [f"{v.numerator}/{v.denominator}" for v in values]
    words = [normalise([f"epsilon={t}"])[0] for t in text]
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        for word, value in zip(words, values, strict=True):
            assert Fraction(str(compose("train", overrides=[word]).epsilon.radius)) == value


# --- other words -----------------------------------------------------------------------------------------------


@given(st.permutations(["seed=1", "-m", "regularizer=erm,llr", "--resolve", "dataset=lin"]))
def test_flags_come_first_and_all_else_keeps_its_order(words):
    flags = [word for word in words if word.startswith("-")]
    assert normalise(words) == flags + [word for word in words if word not in flags]


def test_a_value_of_a_flag_stays_behind_it():
    assert normalise(["seed=1", "--cfg", "job"]) == ["--cfg", "job", "seed=1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed=1", "--info"], ["--info=all", "seed=1"]),
        (["--info", "seed=1"], ["--info=all", "seed=1"]),
        (["-i", "defaults", "seed=1"], ["--info=defaults", "seed=1"]),
        (["seed=1", "--package", "a=b"], ["--package", "a=b", "seed=1"]),
        (["seed=1", "--cfg=job", "--res"], ["--cfg", "job", "--resolve", "seed=1"]),
        (["seed=1", "--multi", "--help"], ["--multirun", "--help", "seed=1"]),
    ],
)
def test_a_flag_takes_its_own_value_and_no_override(words, expected):
    assert normalise(words) == expected


def test_no_words_stay_none():
    assert normalise([]) == []


def test_an_experiment_needs_no_plus():
    assert normalise(["experiment=capify_small"]) == ["+experiment=capify_small"]


def test_evaluate_takes_a_dataset_as_the_name_of_its_database():
    assert normalise(["dataset=loan"], "evaluate") == ["database=loan"]


def test_train_takes_a_dataset_as_an_option():
    assert normalise(["dataset=loan"], "train") == ["dataset=loan"]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(TEXT.filter(lambda t: t != "null" and t.strip() == t and not (t[0] in "'\"" and t[-1] == t[0]) and "$" not in t))
def test_conditions_reach_evaluate_as_typed(text):
    """Hydra's own parser is the oracle."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (word,) = normalise([f"where={text}"], "evaluate")
    assert OverridesParser.create().parse_override(word).value() == text


@pytest.mark.parametrize("word", ["where=null", "where='a<1'", 'where="a<1"', "sort="])
def test_a_condition_that_hydra_can_read_stays(word):
    assert normalise([word], "evaluate") == [word]


@pytest.mark.parametrize("group", ["dataset", "model", "regularizer", "scm", "attack", "decide", "trainer"])
@pytest.mark.parametrize("value", ["", "null", "3", "true", "[]", "[3]"])
def test_a_group_takes_names_only(group, value):
    with pytest.raises(ValueError, match=f"{group} takes the name of an option"):
        normalise([f"{group}={value}"])


def test_only_regularizers_add_up():
    assert normalise(["regularizer=[erm,llr]"]) == ["regularizer=[erm,llr]"]
    with pytest.raises(ValueError, match="model takes the name"):
        normalise(["model=[mlp,logistic]"])


@pytest.mark.parametrize(
    "word",
    [
        "+dataset.graph.age=[sex]",
        "+trainer.optimizer.nesterov=true",
        "+evaluation.metrics.mine._target_=utils.metrics.mine.mine",
        "+hydra.job.name=x",
        "+regularizer=llr",
        "++seed=3",
    ],
)
def test_plus_may_add_what_something_reads(word):
    assert normalise([word]) == [word]


@pytest.mark.parametrize("word", ["+foo=1", "++trainer.lrr=1", "+regularizer.llr.foo=1", "+a.b=1"])
def test_plus_adds_no_key_that_nothing_reads(word):
    with pytest.raises(ValueError, match="there is no such key"):
        normalise([word])


@pytest.mark.parametrize("word", ["=3", "="])
def test_a_word_needs_a_key(word):
    with pytest.raises(ValueError, match="cannot read"):
        normalise([word])


# --- keys and near misses --------------------------------------------------------------------------------------


def test_keys_are_those_of_every_option():
    known = set(keys("train"))
    assert {"trainer.lr", "scm.hidden", "model.hidden", "regularizer.llr.linearity", "dataset.graph", "seed"} <= known


def test_keys_of_evaluate_are_its_own():
    known = keys("evaluate")
    assert "id" in known
    assert "trainer.lr" not in known
    assert "seed" not in known


def test_keys_hold_no_key_of_presets_or_of_hydra():
    assert not [key for key in keys("train") if key.startswith(("experiment.", "hydra"))]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([key for key in KEYS if len(key.rpartition(".")[2]) > 4]), st.data())
def test_a_key_with_a_letter_lost_is_suggested(key, data):
    leaf = key.rpartition(".")[2]
    lost = data.draw(st.integers(len(key) - len(leaf), len(key) - 1))
    misspelt = key[:lost] + key[lost + 1 :]
    if misspelt not in KEYS:
        assert f" {key}" in overrides._near_key(misspelt, "train")


def test_options_are_the_files_of_the_group():
    assert options("epsilon") == ["constant", "faces", "pixels", "ramp"]


def test_an_error_of_the_operating_system_names_file_and_reason():
    assert cli.format_error(OSError(28, "No space left on device", "a.json")) == "a.json: No space left on device"


def test_an_interrupt_that_meets_a_destructor_is_not_lost():
    """Python swallows what a destructor raises, so the next epoch has to raise it again."""

    class Closing:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with interrupts.interruptible(), progress.show_steps("title", 2) as steps:
        Closing()
        with pytest.raises(KeyboardInterrupt):
            steps.step(1, {})


@pytest.mark.parametrize("words", [("train", "seed=0"), ("evaluate",), ("evals.select", "dataset=loan")])
def test_an_interrupt_within_imports_is_told_without_a_traceback(words, tmp_path):
    """Hydra, or pandas, raises it when it is imported, as Ctrl-C would."""
    for name in ("hydra", "pandas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise KeyboardInterrupt")
    apart = environment() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])}
    ended = subprocess.run(line(*words), capture_output=True, text=True, env=apart)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == "error: interrupted\n"


@pytest.mark.parametrize("kind", [KeyError, ValueError, OSError])
def test_an_interrupt_that_a_library_makes_an_error_of_is_an_interrupt(kind, monkeypatch):
    """As OmegaConf does where it meets one between two jobs."""

    def task(cfg):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise kind("no attribute")

    monkeypatch.setattr(cli, "in_sweep", lambda: True)
    with interrupts.interruptible(), pytest.raises(KeyboardInterrupt):
        cli._guard(task)(None)
