"""Records through the command line: every share has its interval, what is undefined says why."""

import re

import pytest

import paths_config
from tests.commands import SMALL, command, house
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

ENDS = ("_low", "_high", "_null")
# counts, checks of the evaluation itself, and what was left after the first of several attacks
NO_SHARE = re.compile(r"support_group\d+|robust_rows.*|check_.*|robust_accuracy_after_.*")
TABLES = (*SMALL, "trainer.epochs=1")
IMAGES = (
    "dataset=digits",
    "trainer.epochs=1",
    "evaluation.metrics.ensemble.rows=20",
    "evaluation.metrics.curve.rows=20",
)


def trained(*words):
    """The only record of a database, and what was said."""
    answer = command("train", *words)
    assert answer.code == 0, answer
    (path,) = paths_config.evals().glob("*.json")
    return RunStore(path).all()[0], answer


@pytest.mark.parametrize("words", [TABLES, IMAGES], ids=["loan", "digits"])
def test_every_share_of_a_record_has_its_interval(tmp_path, words):
    with house(tmp_path):
        record, _ = trained(*words)
    metrics = record["metrics"]
    plain = [key for key in metrics if not key.endswith(ENDS) and not NO_SHARE.fullmatch(key)]
    assert [key for key in plain if not {f"{key}_low", f"{key}_high"} <= metrics.keys()] == []
    assert [key for key in plain if (metrics[key] is None) != (metrics[f"{key}_low"] is None)] == []
    outside = [k for k in plain if metrics[k] is not None and not metrics[f"{k}_low"] <= metrics[f"{k}_high"]]
    assert outside == []
    assert not [key for key in metrics if NO_SHARE.fullmatch(key) and key.endswith(ENDS)]


CSV = ("dataset=csv", "dataset.name=people", "dataset.path=people.csv", "dataset.label=hired", "scm=independent")


def own_table(folder, rows):
    """A record of a table of sex, race, age and label, one row for each i."""
    lines = ["sex,race,age,hired", *(",".join(map(str, rows(i))) for i in range(400))]
    (folder / "people.csv").write_text("\n".join(lines) + "\n")


def test_a_group_without_positives_is_named_where_the_run_is_filed_and_said(tmp_path):
    with house(tmp_path) as folder:
        own_table(folder, lambda i: (i % 2, (i // 2) % 2, (i * 7) % 41, int(i % 2 == 0 and i % 3 > 0)))
        record, answer = trained(*CSV, "dataset.sensitive=[sex]", *TABLES)
    metrics = record["metrics"]
    gaps = ("fnr_gap", "tpr_gap", "equalized_odds_difference", "fnr_signed_gap", "fnr_gap_low")
    assert [metrics[key] for key in ("fnr_group1", "tpr_group1", *gaps)] == [None] * 7
    assert metrics["fpr_gap"] is not None
    sentence = "fnr_gap, tpr_gap, equalized_odds_difference are undefined: group sex=1 has no test row of class 1"
    assert sentence in record["warnings"]
    assert f"warning: {sentence}" in answer.err.splitlines()


def test_a_declared_group_without_any_row_is_undefined_and_named(tmp_path):
    """Nobody is of sex 1 and race 1."""
    with house(tmp_path) as folder:
        own_table(folder, lambda i: (i % 3 % 2, int(i % 3 == 2), (i * 7) % 41, int((i * 7) % 41 + i % 5 > 20)))
        record, _ = trained(*CSV, "dataset.sensitive=[sex,race]", *TABLES)
    metrics = record["metrics"]
    assert metrics["support_group3"] == 0
    assert (metrics["accuracy_group3"], metrics["accuracy_gap"], metrics["robust_accuracy_group3_0.05"]) == (None,) * 3
    assert metrics["robust_accuracy_worst_group_0.05"] is not None
    name = record["preprocessing"]["groups"][3]
    sentence = f"every gap is undefined, and every rate of group {name}: it has no test row; <gap>_rest is that of the "
    assert any(warning.startswith(sentence) for warning in record["warnings"])


def test_a_small_group_is_named_by_a_later_evaluation_too(tmp_path):
    with house(tmp_path) as folder:
        own_table(folder, lambda i: (int(i % 40 == 0), i % 2, (i * 7) % 41, int((i * 7) % 41 + i % 5 > 20)))
        record, _ = trained(*CSV, "dataset.sensitive=[sex]", *TABLES)
        words = [word for word in TABLES if not word.startswith("trainer")]
        answer = command("evaluate", "dataset=people", "id=1", "epsilon=0.1", *words)
        (path,) = paths_config.evals().glob("*.json")
        (later,) = RunStore(path).get(1)["evaluations"].values()
    assert record["metrics"]["support_group1"] == 1
    sentence = "every gap is undefined: group sex=1 has 1 test row, fewer than evaluation.metrics.group.groups_min=10"
    assert sentence in record["warnings"]
    assert sentence in later["warnings"]
    assert sentence in answer.err
