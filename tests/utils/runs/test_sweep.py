"""Jobs composed once for many are the jobs that Hydra composes one by one; how a sweep speaks of them."""

import time
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import open_dict

from tests.commands import SMALL, command, house
from utils.command_line.overrides import CONFIG, resolve
from utils.runs import progress
from utils.runs.outcomes import Outcome, at_work, exit_code, read_outcome, write_outcome
from utils.runs.progress import Tally
from utils.runs.sweep import Composed, Planner


def composed(*words):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        return compose("train", overrides=list(words), return_hydra_config=True)


def alone(*words):
    cfg = composed(*words)
    chosen = dict(cfg.hydra.runtime.choices)
    del cfg._content["hydra"]
    return resolve(cfg, chosen)


@pytest.mark.parametrize("radius", [0.1, 3, 1e-3])
def test_a_number_reaches_every_interpolation_of_its_key(radius):
    """epsilon.radius is also the training radius of the robust metric."""
    jobs = Composed(
        composed("regularizer=causal_adv", "epsilon.radius=0.7", "seed=5"), {"epsilon.radius": 0.7, "seed": 5}
    )
    assert jobs.params({"epsilon.radius": radius, "seed": 9}) == alone(
        "regularizer=causal_adv", f"epsilon.radius={radius}", "seed=9"
    )


def test_a_preset_is_composed_the_same():
    words = ("+experiment=capify_small", "dataset=lin", "regularizer=llr")
    jobs = Composed(composed(*words, "seed=1"), {"seed": 1})
    assert jobs.params({"seed": 2}) == alone(*words, "seed=2")


def test_a_number_worked_into_a_text_is_resolved_anew():
    words = ("attack.name=pgd_${seed}", "seed=1")
    jobs = Composed(composed(*words), {"seed": 1})
    assert jobs.params({"seed": 4})["attack"]["name"] == "pgd_4"
    assert jobs.params({"seed": 5})["attack"]["name"] == "pgd_5"


def test_jobs_share_no_part_of_their_configuration():
    jobs = Composed(composed("seed=1"), {"seed": 1})
    first = jobs.params({"seed": 1})
    first["model"]["hidden"].append(7)
    assert jobs.params({"seed": 1})["model"]["hidden"] == [100, 100]


@pytest.mark.parametrize(("key", "value"), [("trainer.lr", -1), ("epsilon.radius", -0.1), ("seed", -2), ("seed", 1.5)])
def test_every_job_is_checked_by_its_own_numbers(key, value):
    jobs = Composed(composed(f"{key}=1"), {key: 1})
    jobs.params({key: 1})
    with pytest.raises(ValueError, match=key.partition(".")[0]):
        jobs.params({key: value})


def planned(config, load, *words):
    """The configuration of a job of a sweep."""
    with open_dict(config):
        config.hydra.sweep.dir = "here"
    context = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=load))
    [job] = Planner(context, config).plan([words], 0)
    return job.params


def test_words_that_the_sweep_was_composed_of_are_not_composed_again():
    config = composed("regularizer=causal_adv", "seed=5", "epsilon.radius=0.7")
    words = ("regularizer=causal_adv", "seed=2", "epsilon.radius=0.1")
    assert planned(config, lambda *_: pytest.fail("composed again"), *words) == alone(*words)


@pytest.mark.parametrize("word", ["regularizer=erm", "fit_on=train"])
def test_a_job_with_a_word_of_its_own_is_composed(word):
    words = (word, "seed=2")
    assert planned(composed("regularizer=causal_adv", "seed=5"), lambda _, own: composed(*own), *words) == alone(*words)


# --- outcomes and progress -------------------------------------------------------------------------------------


def test_a_job_that_told_is_heard_and_one_that_did_not_is_none(tmp_path):
    outcome = Outcome("loan_mlp_erm", "finished", "record 1", 1, {"accuracy": 0.8})
    write_outcome(tmp_path, 3, outcome)
    assert read_outcome(tmp_path, 3) == outcome
    assert read_outcome(tmp_path, 4) is None


@given(st.lists(st.sampled_from(["finished", "skipped", "failed", "refused"])))
def test_the_exit_code_is_that_of_the_gravest_job(statuses):
    code = exit_code([Outcome("", status, "") for status in statuses])
    assert code == (2 if "refused" in statuses else 1 if "failed" in statuses else 0)


def test_the_line_of_a_sweep_has_what_is_done_what_is_left_and_the_best(tmp_path):
    """The best of accuracy is the largest, of the unfair area the smallest."""
    tally = Tally(tmp_path, range(4), ["accuracy", "uai_0.05"], lambda number: [str(number)])
    write_outcome(tmp_path, 0, Outcome("a", "finished", "", metrics={"accuracy": 0.7, "uai_0.05": 0.1}))
    write_outcome(tmp_path, 2, Outcome("a", "finished", "", metrics={"accuracy": 0.8, "uai_0.05": 0.3}))
    write_outcome(tmp_path, 3, Outcome("a", "failed", "why"))
    tally.started = time.monotonic() - 30
    assert tally.look() == [0, 2, 3]
    assert tally.look() == []
    assert tally.line() == "3/4, 1 failed, ETA 0:00:10, best accuracy 0.8000, best uai_0.05 0.1000"


def test_a_sweep_that_is_not_on_a_terminal_says_what_is_being_done_where_no_job_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "POLL", 0.01)
    tally = Tally(tmp_path, range(2), [], lambda number: [str(number)])
    at_work(tmp_path, 0, "2 lin_mlp_erm: epoch 1/3")
    for pause, said in ((60.0, set()), (0.1, {"2 lin_mlp_erm: epoch 1/3  [0/2]"})):
        monkeypatch.setattr(progress, "PAUSE", pause)
        with progress.show_sweep(tally):
            time.sleep(0.15)
        assert set(capsys.readouterr().out.splitlines()) == said


def test_the_row_of_a_job_says_what_varied_beside_its_name_and_seed(tmp_path):
    words = [["regularizer=erm", "epsilon.radius=0.1", "seed=0"], ["regularizer=erm", "epsilon.radius=0.2", "seed=0"]]
    tally = Tally(tmp_path, range(2), [], words.__getitem__)
    write_outcome(tmp_path, 0, Outcome("loan_mlp_erm", "finished", "record 1, seed 0"))
    write_outcome(tmp_path, 1, Outcome("", "refused", "why"))
    tally.look()
    assert tally.row(0).split() == ["#0", "finished", "loan_mlp_erm", "epsilon.radius=0.1", "record", "1,", "seed", "0"]
    assert tally.row(1).split() == ["#1", "refused", *words[1], "why"]


def test_a_causal_figure_is_best_under_its_own_causal_model(tmp_path):
    models = [("lin", "learned", "aaaaaaa"), ("lin", "linear", "b"), ("lin", "linear", "b")]
    for extra, said in (
        ([], "best uai_cf 0.1000 under scm=learned, 0.2000 under scm=linear"),
        ([("lin", "learned", "ccccccc")], "0.1000 under scm=learned (aaaaaa), 0.2000 under scm=linear, 0.4000 under"),
        ([("loan", "linear", "d")], "0.2000 under scm=linear of lin, 0.4000 under scm=linear of loan"),
    ):
        tally = Tally(tmp_path, range(4), ["accuracy", "uai_cf"], lambda number: [str(number)])
        for i, (model, value) in enumerate(zip(models + extra, (0.1, 0.3, 0.2, 0.4), strict=False)):
            named = {"uai_cf": dict(zip(("dataset", "option", "fingerprint"), model, strict=True))}
            write_outcome(tmp_path, i, Outcome("a", "finished", "", i, {"accuracy": 0.7, "uai_cf": value}, named))
        tally.look()
        assert "best accuracy 0.7000, best uai_cf" in tally.line()
        assert said in tally.line()
        assert tally.apart() == ["uai_cf"]


@pytest.mark.e2e
def test_a_sweep_says_in_the_end_what_its_records_warn_of_and_who_was_trained_against_its_judge(tmp_path):
    """Linear equations of nlm, which is far from linear: no single training is there to say so."""
    with house(tmp_path):
        words = (
            "dataset=nlm",
            "dataset.rows=1000",
            "scm=linear",
            "regularizer=erm,causal_al",
            "model=logistic",
            *SMALL,
        )
        answer = command("train", "-m", *words, "hydra/launcher=batched", "hydra.launcher.workers=1")
    assert answer.code == 0, answer
    last = answer.out.partition("2 jobs: 2 finished")[2]
    assert "warning of 2 of 2 runs: equations explain far less of held-out rows than boosted trees" in last
    assert "under scm=linear: causal_al was trained against the very equations that judge here" in last
