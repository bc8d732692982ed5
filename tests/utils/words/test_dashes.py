"""``--seed 3`` means ``seed=3`` to every command; flags of Hydra's keep their meaning."""

import pytest

from tests.commands import SMALL, command, house, refused
from utils.command_line.overrides import INFO, SWITCHES, VALUED, first_parts, normalise
from utils.words.quoting import without_dashes

KNOWN = ("dataset", "seed", "trainer", "where", "sort", "hydra")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--dataset loan", ["dataset=loan"]),
        ("--dataset=loan", ["dataset=loan"]),
        ("--trainer.epochs 3 --seed 0,1,2", ["trainer.epochs=3", "seed=0,1,2"]),
        ("--hydra/launcher batched --trainer/schedule=cosine", ["hydra/launcher=batched", "trainer/schedule=cosine"]),
        ("--sort -accuracy --seed -1", ["sort=-accuracy", "seed=-1"]),
        ("--where seed==3", ["where=seed==3"]),
        ("--where accuracy>=0.8", ["where=accuracy>=0.8"]),
        ("--dataset=", ["dataset="]),
        ("-m seed=1 --seeds 3 --help", ["-m", "seed=1", "--seeds", "3", "--help"]),
        ("---seed 3 -seed 3", ["---seed", "3", "-seed", "3"]),
    ],
)
def test_a_known_key_with_dashes_is_that_key(words, meant):
    assert without_dashes(words.split(), KNOWN) == meant


@pytest.mark.parametrize(
    "words", ["--seed", "--seed --dataset loan", "--seed dataset=loan", "--seed --help", "--seed -h"]
)
def test_a_value_that_is_missing_is_asked_for(words):
    with pytest.raises(ValueError, match=r"--seed needs a value: seed=\.\.\."):
        without_dashes(words.split(), KNOWN)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_no_key_is_named_like_a_flag(name):
    assert {f"--{part}" for part in first_parts(name)} & {*SWITCHES, *VALUED, *INFO} == set()


def test_flags_stay_beside_them():
    assert normalise(["--seed", "3", "-m", "--cfg", "job", "--epsilon", "0.1"]) == [
        *("-m", "--cfg", "job", "seed=3", "epsilon.radius=0.1"),
    ]
    with pytest.raises(ValueError, match="--seed needs a value"):
        normalise(["--seed", "-m"])


def test_every_command_takes_them(tmp_path):
    with house(tmp_path):
        words = ("--dataset", "loan", "--seed=3", "--dataset.rows", "200", "--operating_points=null")
        answer = command("train", *words, *SMALL)
        assert answer.code == 0, answer
        answer = command("evaluate", "--dataset", "loan", "--sort", "-accuracy", "--where", "seed==3")
        assert answer.code == 0, answer
        assert "loan_mlp_erm" in answer.out
        dashed = command("evals.select", "--dataset", "loan", "--maximize=accuracy")
        assert dashed == command("evals.select", "dataset=loan", "maximize=accuracy")
        assert dashed.code == 0, dashed


def test_commands_that_read_their_own_words_take_them(tmp_path, capsys):
    from evals import database, look, scm

    with house(tmp_path):
        assert database.main(["check", "--dataset", "nothing"]) == 2
        assert "--dataset" not in capsys.readouterr().err
        rows = "\n".join(f"{'mf'[i % 2]},{20 + i % 37},{int(i % 5 > 1)}" for i in range(80))
        (tmp_path / "people.csv").write_text(f"sex,age,hired\n{rows}\n")
        assert look.main(["people.csv", "--label", "hired", "--sensitive=sex"]) == 0
        assert (tmp_path / "people.yaml").is_file()
        assert scm.main(["--dataset", "people.yaml", "--people", "many"]) == 2
        assert "people=many: expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "words", "phrase"),
    [
        ("train", ["--datset", "loan"], "--datset: there is no such flag; did you mean --dataset"),
        ("evaluate", ["--datbase=loan"], "--datbase: there is no such flag; did you mean --database"),
        ("train", ["--dataset.rowss=3"], "dataset.rowss: there is no such key; did you mean dataset.rows"),
        ("train", ["--dataset", "lona"], "dataset=lona: there is no such option; did you mean loan"),
        ("evals.select", ["--datset=loan"], "unknown option '--datset'; did you mean dataset"),
        ("evals.select", ["--datset", "loan"], "cannot read '--datset'; write options as key=value"),
    ],
)
def test_a_misspelt_one_is_refused_with_what_is_like_it(program, words, phrase, tmp_path):
    with house(tmp_path):
        refused(command(program, *words), phrase)
