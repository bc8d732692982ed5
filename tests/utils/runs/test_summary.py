"""The end of a sweep: settings with their means, what was not trained and why, and the commands that go on."""

import re
import shlex

import numpy as np
import pytest

from tests.commands import SMALL, command, house
from utils.runs.outcomes import Outcome
from utils.runs.summary import find_skipped, group, summarise

JOBS = [("erm", 0.1, 0), ("erm", 0.2, 0), ("erm", 0.1, 1), ("llr", 0.1, 0), ("llr", 0.1, 1), ("llr", 0.1, 1)]
WORDS = [[f"regularizer={name}", f"epsilon.radius={radius}", f"seed={seed}"] for name, radius, seed in JOBS]


def outcome(record, name, status="finished", *, accuracy=0.7, setting=None, **more):
    return Outcome(
        f"loan_mlp_{name}",
        status,
        f"record {record}",
        record,
        {"accuracy": accuracy},
        dataset="loan",
        setting=setting or name,
        **more,
    )


ENDED = {
    0: outcome(1, "erm", accuracy=0.70),
    1: outcome(1, "erm", "skipped", accuracy=0.70),  # erm reads no radius
    2: outcome(2, "erm", accuracy=0.74),
    3: outcome(3, "llr", "skipped", accuracy=0.80),
    4: outcome(4, "llr", accuracy=0.81),
    5: outcome(4, "llr", "skipped", accuracy=0.81),
}


def lines(ended, watch=("accuracy",)):
    words = WORDS.__getitem__
    return list(summarise(ended, watch, lambda n: [w for w in words(n) if "radius" not in w], words))


def test_skipped_jobs_had_finished_before_or_repeat_another():
    assert find_skipped(ENDED) == ([3], {1: 0, 5: 4})


def test_a_setting_has_the_mean_of_its_seeds_each_run_counted_once():
    """By numpy, of (.70, .74) and (.80, .81)."""
    table = "\n".join(lines(ENDED))
    for name, values in {"erm": (0.70, 0.74), "llr": (0.80, 0.81)}.items():
        row = next(line for line in table.splitlines() if line.startswith(name))
        mean, sd = re.search(r"([\d.]+) ± ([\d.]+)", row).groups()
        assert float(mean) == pytest.approx(np.mean(values), abs=0.5 * 10 ** -len(mean.partition(".")[2]))
        assert float(sd) == pytest.approx(np.std(values, ddof=1), abs=0.5 * 10 ** -len(sd.partition(".")[2]))


def test_the_best_is_named_by_its_metric_and_what_was_skipped_by_its_reason():
    text = "\n".join(lines(ENDED))
    assert "Best by accuracy: llr, 0.8050 ± 0.0071." in text
    assert "1 job had finished before, record 3; existing=replace trains again." in text
    assert "1 job is the same run as another one, which epsilon.radius does not change: #1 as #0." in text
    assert "1 job is the same run as another one, typed twice: #5 as #4." in text


def test_a_constant_prediction_is_the_best_of_nothing_but_of_its_kind():
    ended = {0: outcome(1, "erm", accuracy=0.7), 3: outcome(2, "llr", accuracy=0.9, constant=True)}
    text = "\n".join(lines(ended))
    assert "Best by accuracy: erm" in text
    assert re.search(r"^llr .* nearly constant$", text, re.MULTILINE)


def test_settings_are_named_by_what_differs_in_short_and_equal_ones_are_counted():
    ended = {n: outcome(n + 1, "llr", setting=f"{n}", accuracy=0.5 + (n > 0) / 4) for n in range(3)}
    words = [[f"regularizer.llr.weight={weight}", "seed=0"] for weight in ("0.123456789", "1", "[a,b.c]")]
    text = "\n".join(summarise(ended, ["accuracy"], words.__getitem__, words.__getitem__))
    assert re.findall(r"^loan_mlp_llr (\S+)", text, re.MULTILINE) == ["weight=0.1235", "weight=1", "weight=[a,b.c]"]
    assert "Best by accuracy: loan_mlp_llr weight=1, 0.7500 and 1 setting as good." in text


def test_one_seed_has_its_interval_over_test_rows():
    [setting] = group({0: outcome(1, "erm", accuracy=0.7, intervals={"accuracy": [0.67, 0.73]})}, {}, WORDS.__getitem__)
    assert setting.write("accuracy") == "0.700 [0.670, 0.730]"
    assert setting.write("mcc") == "undefined"


def test_of_many_settings_the_best_are_shown_and_the_others_counted():
    ended = {n: outcome(n, f"a{n}", accuracy=n / 100) for n in range(50)}
    found = next(summarise(ended, ["accuracy"], lambda n: [], lambda n: []))
    names = re.findall(r"^a(\d+)", found, re.MULTILINE)
    assert names == [str(n) for n in range(49, 29, -1)]
    assert "These are 20 of 50 settings, the best by accuracy." in found


def test_the_commands_of_a_sweep_can_be_typed_and_a_failed_job_is_run_alone(tmp_path):
    """One of two learning rates diverges; what the sweep says to type is typed."""
    with house(tmp_path):
        words = ("dataset=lin", "dataset.rows=100", "model=logistic", "decide=fixed", "trainer=sgd", *SMALL)
        ended = command("train", "-m", *words, "trainer.epochs=30", "trainer.lr=0.1,1e6", "trainer.weight_decay=10")
        assert "2 jobs: 1 finished, 1 failed" in ended.out, ended
        failed = re.search(r"^#1 failed: (.*)$", ended.out, re.MULTILINE)
        alone = re.search(r"^  (python train\.py .*)$", ended.out, re.MULTILINE)
        again = command("train", *shlex.split(alone[1])[2:])
        assert again.code == 1
        assert failed[1].partition(" (")[0].partition(": ")[2].partition(";")[0] in again.err
        for purpose, program in (("Compare", "evals.report"), ("Choose", "evals.select")):
            line = re.search(rf"^{purpose}: python -m {program} (.*)$", ended.out, re.MULTILINE)
            assert command(program, *shlex.split(line[1])).code == 0
