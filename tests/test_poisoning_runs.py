"""A run that adds rows to its training data, through the command line: what it files, and that the claim holds."""

import csv
import json
import os
import signal
import subprocess
import time

import pytest
import torch
from commands import command, environment, house, line, refused

import paths_config
from utils.model_zoo import from_database
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

SEARCH = (
    *("dataset=loan", "dataset.rows=150", "device=cpu", "trainer.epochs=2", "attack=bo_poison"),
    *("attack.poison.sampler=random", "attack.poison.budget=6", "attack.poison.metric=demographic_parity_difference"),
    *("attack.poison.workers=1", "attack.poison.accuracy=ignore", "evaluation.metrics.group.groups_min=1"),
    *("evaluation.metrics.classification.intervals=20", "evaluation.metrics.group.intervals=20"),
    *("evaluation=black_box", "~evaluation.metrics.unfair_area", "~evaluation.metrics.ensemble"),
    "~evaluation.metrics.attacked",  # three quarters of the seconds of a run
)
ENDLESS = "attack.poison.accuracy=weight"  # what could always be better
METRIC = "demographic_parity_difference"


def trained(*words):
    answer = command("train", *SEARCH, *words)
    assert answer.code == 0, answer
    return RunStore(paths_config.database("loan")).all()[-1]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of a network and of a learner, with what is filed beside them."""
    found = {}
    for model in (("model=logistic",), ("model=logistic_sklearn",)):
        with house(tmp_path_factory.mktemp("house")) as folder:
            found[model[0].partition("=")[2]] = trained(*model), folder
    return found


@pytest.fixture(params=["logistic", "logistic_sklearn"])
def filed(request, records, monkeypatch):
    record, folder = records[request.param]
    for variable in ("DATA", "EVALS", "WEIGHTS"):
        monkeypatch.setenv(f"TRILEMMA_{variable}", str(folder / variable.lower()))
    return record


def test_the_claimed_objective_is_that_of_the_stored_model_exactly(filed):
    claimed, metrics = filed["poison"]["claimed"], filed["metrics"]
    assert metrics[f"{METRIC}_valid"] == claimed["after"][METRIC]
    assert metrics["accuracy_valid"] == claimed["after"]["accuracy"]
    assert metrics[f"{METRIC}_valid_unpoisoned"] == claimed["before"][METRIC]


def test_training_on_the_shipped_rows_gives_the_same_model(filed):
    """The CSV holds all that was added: a run on the training rows and these has the same answers."""
    path = paths_config.evals() / "poison" / filed["poison"]["csv"]["path"]
    model = f"model={filed['params']['choices']['model']}"
    words = [word for word in SEARCH if not word.startswith("attack")]
    answer = command("train", *words, model, f"added={path}", "dataset.name=again")
    assert answer.code == 0, answer
    again = RunStore(paths_config.database("again")).all()[-1]
    assert again["weights"]["sha256"] == filed["weights"]["sha256"]
    rows = torch.randn(50, 7)
    one, other = from_database(filed["doc_id"], "loan"), from_database(again["doc_id"], "again")
    assert torch.equal(one(rows), other(rows))


def test_the_best_value_never_gets_worse(filed):
    values = [value for _, value in filed["poison"]["steps"]]
    assert values == sorted(values, reverse=True)
    assert filed["poison"]["steps"][0] == [0, filed["poison"]["claimed"]["before"][METRIC]]


def test_the_shipped_rows_are_those_of_the_record(filed):
    path = paths_config.evals() / "poison" / filed["poison"]["csv"]["path"]
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == filed["poison"]["rows"] == filed["rows"]["train"] - 96
    assert filed["poison"]["distinct"] <= len(rows)
    assert sum(filed["poison"]["labels"].values()) == len(rows)


def test_every_evaluation_is_in_the_trace(filed):
    path = paths_config.evals() / "poison" / filed["poison"]["trace"]["path"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    evaluations = filed["poison"]["evaluations"]
    assert len(lines) == 1 + 1 + evaluations  # what search it is, the model without rows
    assert evaluations == 6 or filed["poison"]["ended"] == "nothing left to gain"


def test_without_a_budget_the_record_is_that_of_the_unpoisoned_run(home):
    search = [word for word in SEARCH if word != "~evaluation.metrics.attacked"]
    assert command("train", *search, "model=logistic", "attack.poison.budget=0").code == 0
    [poisoned] = RunStore(paths_config.database("loan")).all()
    plain = [word for word in search if not word.startswith("attack")]
    assert command("train", *plain, "model=logistic", "attack=square_columns").code == 0
    unpoisoned = RunStore(paths_config.database("loan")).all()[-1]
    assert unpoisoned["weights"]["sha256"] == poisoned["weights"]["sha256"]
    for key, value in unpoisoned["metrics"].items():
        assert poisoned["metrics"][key] == value
        if f"{key}_unpoisoned" in poisoned["metrics"]:
            assert poisoned["metrics"][f"{key}_unpoisoned"] == value
    assert poisoned["poison"]["rows"] == 0


def test_the_number_of_processes_is_no_part_of_the_run(home):
    trained("model=logistic")
    answer = command("train", *SEARCH, "model=logistic", "attack.poison.workers=2")
    assert "finished before" in answer.out


def test_the_attacker_s_version_files_what_it_attains_on_the_test_rows(home):
    record = trained("model=logistic", "attack.poison.objective=unfair", "attack.poison.copies=40")
    metrics = record["metrics"]
    assert metrics[f"{METRIC}_under_poisoning"] == metrics[METRIC]
    assert metrics[f"{METRIC}_poisoning_harm"] == metrics[METRIC] - metrics[f"{METRIC}_unpoisoned"]
    assert metrics[f"{METRIC}_valid"] >= metrics[f"{METRIC}_valid_unpoisoned"]


@pytest.mark.slow  # an interrupted one: below
def test_a_search_that_is_killed_goes_on_where_it_was(home):
    words = (ENDLESS, "model=logistic_sklearn", "attack.poison.budget=60")
    going = subprocess.Popen(
        line("train", *SEARCH, *words), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    journals = paths_config.evals() / "poison" / "loan"
    for _ in range(6000):
        time.sleep(0.02)
        if any(path.read_bytes().count(b"\n") > 10 for path in journals.glob("*.jsonl")):
            break
    going.send_signal(signal.SIGKILL)
    going.wait()
    (journal,) = journals.glob("*.jsonl")
    made = journal.read_text().splitlines()[:-1]  # the last may be torn
    assert 10 <= len(made) < 60
    os.utime(journal)
    record = trained(*words)
    assert journal.read_text().splitlines()[: len(made)] == made
    assert record["poison"]["evaluations"] == 60
    assert len(journal.read_text().splitlines()) == 62


def test_a_larger_budget_goes_on_where_a_smaller_one_ended(home):
    """The evaluations are the same to their seconds; those of another training, or to be made anew, are not taken."""
    first = trained(ENDLESS, "model=logistic_sklearn", "attack.poison.budget=4")
    second = trained(ENDLESS, "model=logistic_sklearn")
    other = trained(ENDLESS, "model=logistic_sklearn", "model.C=3")
    (before, after, apart) = (
        (paths_config.evals() / "poison" / record["poison"]["trace"]["path"]).read_text().splitlines()
        for record in (first, second, other)
    )
    assert after[1 : len(before)] == before[1:]
    assert apart[1] != before[1]


def test_replacing_a_finished_run_searches_anew(home):
    first = trained("model=logistic_sklearn")
    (journal,) = paths_config.evals().rglob("[!.]*.jsonl")
    lines = journal.read_text().splitlines()
    second = trained("model=logistic_sklearn", "existing=replace")
    seconds = [json.loads(line).get("seconds") for line in journal.read_text().splitlines()]
    assert seconds != [json.loads(line).get("seconds") for line in lines]  # trained again, as the clock tells
    assert second["poison"]["steps"] == first["poison"]["steps"]
    assert second["doc_id"] == first["doc_id"]


def test_a_replacement_that_was_interrupted_keeps_what_it_has_evaluated(home, monkeypatch):
    trained(ENDLESS, "model=logistic_sklearn")
    (journal,) = paths_config.evals().rglob("[!.]*.jsonl")
    half = "".join(journal.read_text().splitlines(keepends=True)[:4])
    journal.write_text(half)
    trained(ENDLESS, "model=logistic_sklearn", "existing=replace")
    assert journal.read_text().startswith(half)


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["attack.poison.budget=-1"], ["budget"]),
        (["attack.poison.metric=fpr_gab"], ["fpr_gap"]),
        (["attack.poison.objective=evil"], ["fair", "unfair"]),
        (["attack.poison.bounds={income: [9, 1]}"], ["income", "9", "1"]),
        (["attack.poison.bounds={incme: [1, 9]}"], ["income"]),
        (["attack.poison.workers=0"], ["attack.poison.workers"]),
        (["attack.poison.inner_seeds=0"], ["attack.poison.inner_seeds"]),
        (["attack.poison.copies=0"], ["copies"]),
        (["attack.poison.label=2"], ["label"]),
        (["fit_on=train"], ["fit_on"]),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(words, phrases, home):
    refused(command("train", *SEARCH, "model=logistic", *words), *phrases)
    assert not paths_config.database("loan").exists()
    assert not list(paths_config.evals().rglob("[!.]*.jsonl"))


def test_images_have_no_rows_to_add(home):
    answer = command("train", "dataset=digits", "model=small_cnn", "attack=bo_poison", "attack.poison.budget=1")
    refused(answer, "table")


def test_a_learner_without_gradients_is_told_which_search_to_use(home):
    words = [word for word in SEARCH if not word.startswith("attack")]
    refused(command("train", *words, "model=logistic_sklearn", "attack=gradient_poison"), "attack=bo_poison")


def test_test_rows_in_the_search_are_refused(home, monkeypatch):
    """Planted where the validation rows are."""
    from utils import build
    from utils.types import Batch

    own = build.build_dataset

    def planted(params, device):
        import dataclasses

        data = own(params, device)
        valid = Batch(*(torch.cat([a, b[:1]]) for a, b in zip(data.valid, data.test, strict=True)))
        return dataclasses.replace(data, valid=valid)

    monkeypatch.setattr(build, "build_dataset", planted)
    refused(command("train", *SEARCH, "model=logistic"), "both valid and test")


def test_harm_is_positive_where_more_of_the_metric_is_better(home):
    words = ("attack.poison.objective=unfair", "attack.poison.metric=accuracy", "attack.poison.copies=60")
    metrics = trained("model=logistic_sklearn", *words)["metrics"]
    assert metrics["accuracy_poisoning_harm"] == metrics["accuracy_unpoisoned"] - metrics["accuracy"]


def test_a_metric_of_too_few_validation_rows_is_warned_of(home):
    record = trained("model=logistic_sklearn", "evaluation.metrics.group.groups_min=20")
    assert record["metrics"][f"{METRIC}_valid"] is None
    assert any(f"led by {METRIC} of the validation rows" in warning for warning in record["warnings"])


def test_a_claim_that_the_stored_model_does_not_meet_is_warned_of(home):
    """As after an update of the learner between the search and its end."""
    first = trained("model=logistic_sklearn")
    assert not any("the search claims" in warning for warning in first.get("warnings", []))
    (journal,) = paths_config.evals().rglob("[!.]*.jsonl")
    definition, *entries = map(json.loads, journal.read_text().splitlines())
    for entry in entries:
        entry["metrics"][METRIC] += 0.01
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in (definition, *entries)))
    second = trained("model=logistic_sklearn", "existing=replace")
    assert any("the search claims" in warning for warning in second["warnings"])


# --- rows that go or change, and what stands beside a search ----------------------------------------------------

CELLS = (
    *(word for word in SEARCH if word != "attack=bo_poison"),
    *("attack=cell_poison", "attack.poison.sampler=sobol", "model=logistic_sklearn"),
)


def search(*words):
    answer = command("train", *CELLS, *words)
    assert answer.code == 0, answer
    return RunStore(paths_config.database("loan")).all()[-1], answer


@pytest.mark.parametrize(
    "action", ["relabel", *(pytest.param(action, marks=pytest.mark.slow) for action in ("remove", "reweigh"))]
)
def test_the_list_of_a_search_makes_the_model_that_it_judged(home, action):
    worse = ("attack.poison.objective=unfair", "attack.poison.trivial=false")
    record, answer = search(f"attack.poison.action={action}", *worse)
    poison = record["poison"]
    word = {"remove": "removed", "relabel": "relabelled", "reweigh": "reweighed"}[action]
    assert f"{poison[word]} row" in answer.out
    assert word in answer.out
    path = paths_config.evals() / "poison" / poison["changes"]["path"]
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert {line["action"] for line in lines} == {action}
    assert len(lines) == poison[word]
    assert all(line["reason"] for line in lines)
    assert record["metrics"][f"{METRIC}_valid"] == poison["claimed"]["after"][METRIC]
    words = [word for word in CELLS if not word.startswith("attack")]
    assert command("train", *words, f"changed={path}", "dataset.name=again").code == 0
    [again] = RunStore(paths_config.database("again")).all()
    assert again["changed"][word] == poison[word]
    assert again["weights"]["sha256"] == record["weights"]["sha256"]
    assert again["run_id"] != record["run_id"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    with house(tmp_path_factory.mktemp("house")) as folder:
        yield search("attack.poison.baselines=true", "attack.poison.accuracy=constraint")[0], folder


def test_every_plain_method_is_a_run_that_anybody_can_make(compared):
    """The words in the record train the model that the record has the figures of."""
    record, _ = compared
    found = {own["method"]: own for own in record["poison"]["baselines"]}
    assert len(found) == 6 + bool(record["poison"]["rows"])  # rows by chance, as many as the search adds
    words = [word for word in CELLS if not word.startswith("attack")]
    chosen = [own for own in found.values() if own.get("words")]
    assert len(chosen) == 6
    for own in chosen[-2:]:
        assert command("train", *words, *own["words"], "existing=replace").code == 0
        metrics = RunStore(paths_config.database("loan")).all()[-1]["metrics"]
        assert {key: metrics[key] for key in own["test"]} == own["test"]


def test_limits_that_a_plain_method_breaks_are_told(compared):
    record, _ = compared
    least = record["poison"]["claimed"]["before"]["accuracy"] - record["params"]["attack"]["poison"]["accuracy_loss"]
    for own in record["poison"]["baselines"]:
        assert ("accuracy" in own["broken"]) == (own["valid"]["accuracy"] < least - 1e-9)
        assert (own["violation"] > 0) == bool(own["broken"])


def test_what_stands_beside_a_search_is_shown(compared):
    answer = command("evals.poison", "dataset=loan")
    assert answer.code == 0, answer
    assert "massaging, swept" in answer.out
    assert "rows as they are" in answer.out
    assert "the best plain method within the limits" in answer.out or "no plain method keeps" in answer.out


def test_an_attacker_takes_the_trivial_attack_where_it_is_better(home):
    words = ("attack.poison.objective=unfair", "attack.poison.budget=1")
    poison = search(*words)[0]["poison"]
    assert poison["trivial"]["trainings"]
    without = search(*words, "attack.poison.trivial=false")[0]["poison"]
    assert "trivial" not in without
    assert poison["claimed"]["after"][METRIC] >= without["claimed"]["after"][METRIC]
    if poison["trivial"]["better"]:
        assert poison["rows"] == poison["trivial"]["rows"]
        assert "numbers" not in poison


def test_bounds_over_added_rows_are_not_claimed_of_prepared_ones(home):
    """One row more may change the weight or the label of many."""
    refused(command("train", "dataset=loan", "dataset.rows=150", "model=partition_vote", "prepare=reweigh"), "all rows")


@pytest.mark.parametrize("words", [["action=remove"], ["labels=own"], ["cells=[[0,0]]"]])
def test_an_attacker_adds_nothing_that_he_may_not(home, words):
    asked = ["attack.poison.objective=unfair", "attack.poison.budget=2", *(f"attack.poison.{word}" for word in words)]
    record, _ = search(*asked, "attack.poison.baselines=false")
    assert "trivial" not in record["poison"]
    if words == ["action=remove"]:
        assert not record["poison"]["rows"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["attack.poison.baselines=true", "attack.poison.objective=unfair"], "leave it out: the trivial attacks"),
        (["attack.poison.baselines=true", "prepare=reweigh"], "leave prepare=none"),
        (["attack.poison.action=remove", "prepare=resample"], "has some of them twice"),
        (
            ["attack.poison.harm={fpr:2}"],
            "attack.poison.harm={'fpr': 2}: expected auto, null or a number in [0, 1], or",
        ),
        (["attack.poison.harm={tpr:0.1}"], "attack.poison.harm: tpr=0.1; expected a number in [0, 1], or {fpr: 0.01}"),
        (["attack.poison.most.remove=2"], "attack.poison.most.remove=2: expected a number in [0, 1]"),
        (["attack.poison.cells=[[nobody,0]]"], "there is no group nobody"),
        (["changed=none.csv"], "there is no file none.csv"),
    ],
)
def test_what_a_search_cannot_be_told_is_refused_before_it_trains(home, words, said):
    refused(command("train", *CELLS, *words), said)
