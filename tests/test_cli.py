"""What the README promises, through the command line, on small trainings."""

import csv
import hashlib
import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch

import paths_config
from tests.commands import ROOT, SMALL, command, environment, for_tables, house, line, process
from utils.model_zoo import from_database, predictor
from utils.records.checksum import checksum
from utils.run_store import RunStore
from utils.words.numbers import write_estimate

pytestmark = pytest.mark.e2e

REGULARIZERS = for_tables("regularizer")
ATTACKS = for_tables("attack")
JUDGED = [word for word in SMALL if word.startswith(("evaluation.", "device="))]


def records(dataset="loan"):
    return RunStore(paths_config.database(dataset)).all()


def newest(dataset="loan"):
    return records(dataset)[-1]


def succeeded(answer):
    """Nothing but warnings beside the answer: a model of one epoch may leave a rate undefined."""
    assert answer.code == 0, answer
    assert all(line.startswith("warning: ") for line in answer.err.splitlines()), answer
    return answer


def train(*words):
    return succeeded(command("train", *SMALL, *words))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Record 1: the command of the README. Records 2 and 3: a sweep of two radii. Record 4: logistic."""
    with house(tmp_path_factory.mktemp("shop")) as folder:
        train("regularizer=causal_adv", "epsilon=0.1")
        succeeded(command("train", "-m", "regularizer=adversarial", "epsilon=0.01,0.05", *SMALL))
        train("model=logistic", "epsilon.evaluate=[8/255]")
        yield folder


@pytest.fixture
def own(tmp_path):
    """An empty house."""
    with house(tmp_path) as folder:
        yield folder


def record(doc_id):
    return RunStore(paths_config.database("loan")).get(doc_id)


# --- the record ------------------------------------------------------------------------------------------------


def test_the_command_of_the_readme_files_a_record_of_the_fixed_name(shop):
    assert record(1)["name"] == "loan_mlp_causal_adv"
    assert record(1)["status"] == "finished"


def test_a_number_given_to_epsilon_is_the_radius(shop):
    assert record(1)["params"]["epsilon"]["radius"] == 0.1


def test_the_weights_are_there_with_the_hash_of_the_record(shop):
    for found in records():
        data = (shop / "weights" / found["weights"]["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == found["weights"]["sha256"]


def test_the_record_in_the_output_folder_is_the_one_in_the_database(shop):
    written = [json.loads(path.read_text()) for path in shop.glob("outputs/**/record.json")]
    stored = {key: value for key, value in record(1).items() if key != "doc_id"}
    assert {**stored, "checksum": checksum(stored)} in written


def test_a_sweep_of_radii_files_a_record_for_each(shop):
    assert [record(i)["params"]["epsilon"]["radius"] for i in (2, 3)] == [0.01, 0.05]


def test_no_path_of_the_machine_stands_in_a_record(shop):
    assert str(shop) not in json.dumps(records())


def test_a_fraction_is_stored_as_typed_and_reported_under_the_training_radius(own):
    train("regularizer=adversarial", "epsilon=8/255")
    assert newest()["params"]["epsilon"]["radius"] == "8/255"
    assert 0 <= newest()["metrics"]["robust_accuracy"] <= 1


def test_a_radius_of_the_evaluation_names_its_metrics_as_typed(shop):
    assert {"robust_accuracy_8/255", "uai_8/255"} <= record(4)["metrics"].keys()


def test_a_schedule_is_chosen_by_name_and_a_radius_given_beside_it(own):
    train("regularizer=adversarial", "epsilon=ramp", "epsilon=0.2")
    assert newest()["params"]["epsilon"]["schedule"]["_target_"] == "utils.epsilons.ramp.ramp"
    assert newest()["params"]["epsilon"]["radius"] == 0.2


def test_several_terms_are_joined_by_plus_with_their_weights(own):
    train("regularizer=[causal_adv,adversarial]", "regularizer.adversarial.weight=0.5")
    assert newest()["name"] == "loan_mlp_causal_adv+adversarial"
    assert newest()["params"]["regularizer"]["adversarial"]["weight"] == 0.5


# --- identity and repetition -----------------------------------------------------------------------------------


def test_relaunching_a_sweep_trains_nothing_and_says_so(shop):
    before = paths_config.database("loan").read_bytes()
    answer = succeeded(command("train", "-m", "regularizer=adversarial", "epsilon=0.01,0.05", *SMALL))
    assert "0 finished, 2 skipped" in answer.out
    assert "epoch 1" not in answer.out
    assert paths_config.database("loan").read_bytes() == before


def test_equal_settings_written_differently_are_one_run(shop):
    assert "finished before, record 3" in train("regularizer=adversarial", "epsilon=5.0e-2", "device=cpu").out


def test_replacing_trains_anew_under_the_same_number(own):
    train()
    first = newest()
    train("existing=replace")
    assert len(records()) == 1
    assert newest()["doc_id"] == first["doc_id"]
    assert newest()["seconds"] != first["seconds"]


def test_a_run_that_reads_no_radius_is_one_run_at_all_radii(own):
    train("epsilon=0.1")
    assert "finished before" in train("epsilon=0.2").out
    assert len(records()) == 1


def test_two_radii_of_a_term_that_reads_them_are_two_runs(shop):
    assert record(2)["run_id"] != record(3)["run_id"]
    assert record(2)["group_id"] != record(3)["group_id"]


def test_seeds_are_runs_of_one_group(own):
    succeeded(command("train", "-m", "seed=0,1", *SMALL))
    one, two = records()
    assert one["run_id"] != two["run_id"]
    assert one["group_id"] == two["group_id"]
    assert one["weights"]["sha256"] != two["weights"]["sha256"]


def test_a_run_is_repeated_to_the_bit_by_another_process_in_another_folder(shop, own):
    """The first was a process of its own; this one comes after other trainings, as the second job of a sweep."""
    succeeded(command("train", "-m", "regularizer=erm,causal_adv", "epsilon=0.1", *SMALL))
    again = newest()
    first = RunStore(shop / "evals" / "loan.json").get(1)
    assert again["run_id"] == first["run_id"]
    assert again["weights"]["sha256"] == first["weights"]["sha256"]
    assert again["metrics"] == first["metrics"]


# --- every option ----------------------------------------------------------------------------------------------


def test_every_regularizer_trains_on_generated_data_sets(own):
    """Each on one of them; on the others: tests/test_batched.py; erm on lin: the preset below."""
    for dataset, regularizers in {"imf": REGULARIZERS[::2], "lin": REGULARIZERS[1::2]}.items():
        sweep = [f"dataset={dataset}", f"regularizer={','.join(regularizers)}", "dataset.rows=200"]
        answer = succeeded(command("train", "-m", *SMALL, *sweep))
        assert f"{len(regularizers)} finished" in answer.out
        found = records(dataset)
        assert {r["params"]["choices"]["regularizer"] for r in found} == set(regularizers)
        assert len({r["weights"]["sha256"] for r in found}) == len(regularizers)
        for metric in ("accuracy", "robust_accuracy_0.05", "uai_0.05"):
            assert all(0 <= r["metrics"][metric] <= 1 for r in found)


def test_every_attack_adds_its_line_beside_the_headline_attack(own):
    succeeded(command("train", "-m", *SMALL, f"attack={','.join(ATTACKS)}", "dataset.rows=200"))
    names = {r["params"]["attack"]["name"]: r["metrics"].keys() for r in records()}
    assert len(names) == len(ATTACKS)
    for name, metrics in names.items():
        assert "robust_accuracy_0.05" in metrics
        assert (f"robust_accuracy_{name}_0.05" in metrics) == (name != "pgd_l2")


def test_every_causal_model_works_on_loan(own):
    succeeded(command("train", "-m", *SMALL, "scm=known,linear,independent", "regularizer=causal_adv"))
    train("scm=learned", "scm.steps=50", "scm.hidden=10", "regularizer=causal_adv")
    assert [r["params"]["choices"]["scm"] for r in records()] == ["known", "linear", "independent", "learned"]
    assert len({r["metrics"]["uai_0.05"] for r in records()}) > 1


def test_a_table_of_ones_own_trains_and_is_filed_under_its_name(own):
    rows = "".join(f"{i % 2},{20 + i % 37},{'abc'[i % 3]},{(i // 3) % 2}\n" for i in range(80))
    (own / "people (1).csv").write_text("sex,age,job,hired\n" + rows)
    table = ["dataset=csv", "dataset.name=mine", "dataset.label=hired", "dataset.sensitive=[sex]"]
    causal = ("scm=linear", "dataset.graph={age: [sex]}", "regularizer=causal_adv")
    answer = command("train", *SMALL, *table, "dataset.path='people (1).csv'", *causal)
    assert answer.code == 0, answer  # with a word on groups of few test rows
    assert newest("mine")["name"] == "mine_mlp_causal_adv"


# --- loading and evaluating ------------------------------------------------------------------------------------


def test_a_loaded_model_is_a_module_in_eval_mode(shop):
    model = from_database(1, "loan")
    assert isinstance(model, torch.nn.Module)
    assert not any(part.training for part in model.modules())


def rebuilt(found):
    """The data of a record."""
    from utils.build import build_dataset

    return build_dataset(found["params"], torch.device("cpu"))


@pytest.mark.parametrize("doc_id", [1, 4])
def test_the_decisions_of_a_loaded_model_have_the_stored_accuracy(shop, doc_id):
    found = record(doc_id)
    test = rebuilt(found).test
    decided = from_database(doc_id, "loan").decide(test.x)
    assert float((decided == test.y).double().mean()) == found["metrics"]["accuracy"]


def test_the_predictor_on_natural_units_decides_as_the_model_in_model_space(shop):
    data = rebuilt(record(1))
    natural = pd.DataFrame((data.loc + data.scale * data.test.x).numpy(), columns=[c.name for c in data.columns])
    model = from_database(1, "loan")
    answer = predictor(1, "loan")(natural)
    torch.testing.assert_close(
        torch.tensor(answer["probability"].to_numpy()), model(data.test.x).sigmoid().squeeze(-1).detach()
    )
    # a row within rounding of the threshold may fall on either side of it
    assert (torch.tensor(answer["decision"].to_numpy()) != model.decide(data.test.x)).sum() <= 1


def test_evaluating_with_the_same_settings_gives_the_stored_figures(shop):
    at_training = {  # which an evaluation has no radius for
        f"robust_accuracy{worst}{end}" for worst in ("", "_worst_class") for end in ("", "_low", "_high")
    }
    succeeded(command("evaluate", "id=1", "name=same", *JUDGED))
    stored, again = record(1)["metrics"], record(1)["evaluations"]["same"]["metrics"]
    assert again == {key: value for key, value in stored.items() if key not in at_training}


def test_evaluating_leaves_weights_metrics_and_other_records_alone(own):
    train()
    before = newest()
    file = own / "weights" / before["weights"]["path"]
    weights = file.read_bytes()
    succeeded(command("evaluate", "id=all", "attack=causal_pgd", *JUDGED))
    after = newest()
    assert file.read_bytes() == weights
    assert after.pop("evaluations").keys() == {"causal_pgd@0.05+0.01"}
    assert after == before


def test_an_evaluation_of_a_name_that_is_there_is_kept_unless_replaced(own):
    train()
    succeeded(command("evaluate", "id=1", "name=again", *JUDGED))
    first = newest()["evaluations"]
    answer = succeeded(command("evaluate", "id=1", "name=again", "epsilon.evaluate=[0.3]", *JUDGED))
    assert "'again' is there already; replace=true" in answer.out
    assert "it was made with epsilon.evaluate [0.05, 0.01], not [0.3]" in answer.out
    assert "made with" not in command("evaluate", "id=1", "name=again", *JUDGED).out
    assert newest()["evaluations"] == first
    succeeded(command("evaluate", "id=1", "name=again", "epsilon.evaluate=[0.3]", "replace=true", *JUDGED))
    assert "uai_0.3" in newest()["evaluations"]["again"]["metrics"]


def test_an_evaluation_tells_each_metric_and_shows_what_is_filed_beside_what_another_causal_model_says(own):
    train()
    said = succeeded(command("evaluate", "id=1", "scm=linear", *JUDGED)).out
    names = ("classification", "group", "robust", "unfair_area")
    told = [f"record 1: metric {i} of 4, {name}" for i, name in enumerate(names, start=1)]
    assert said.splitlines()[:4] == told
    filed, found = (of["metrics"] for of in (newest(), newest()["evaluations"]["scm=linear"]))
    for key in ("uai_cf", "uai_0.05"):
        one, other = (write_estimate(*(of[f"{key}{end}"] for end in ("", "_low", "_high"))) for of in (found, filed))
        assert re.search(rf"^  {key} +{re.escape(one)} +filed: {re.escape(other)}$", said, re.MULTILINE)


def test_a_later_evaluation_at_a_fraction_is_in_the_table(own):
    train()
    words = ["epsilon.evaluate=[8/255]", "columns=[accuracy,uai_8/255]"]
    answer = succeeded(command("evaluate", "id=1", *words, *JUDGED))
    assert "pgd_l2@8/255/uai_8/255" in answer.out


def test_the_table_shows_each_column_once_and_of_later_evaluations_the_one_just_made(own):
    train()
    succeeded(command("evaluate", "id=1", "name=first", *JUDGED))
    own_columns = "columns=[accuracy,first/accuracy]"
    judged = succeeded(command("evaluate", "id=1", "name=second", own_columns, *JUDGED)).out
    assert header(judged) == ["accuracy", "first/accuracy", "second/accuracy"]
    alone = succeeded(command("evaluate", "id=1", "name=third", "columns=[accuracy]", *JUDGED)).out
    assert header(alone) == ["accuracy", "third/accuracy"]
    everything = succeeded(command("evaluate", own_columns)).out
    assert header(everything) == ["accuracy", "first/accuracy", "second/accuracy", "third/accuracy"]


def header(out):
    """The metrics in the first line of the table."""
    (line,) = [line for line in out.splitlines() if line.startswith("record  ")]
    return line.split()[4:]


# --- lists, plots, tables --------------------------------------------------------------------------------------


def listed(answer):
    return [line.split()[0] for line in answer.out.splitlines() if line[:1].isdigit()]


def test_the_list_has_a_line_for_every_finished_run(shop):
    assert listed(succeeded(command("evaluate"))) == ["1", "2", "3", "4"]


def test_the_list_tells_settings_of_one_name_apart():
    """Two llr of different radius, two seeds of one erm."""
    from evals.records.query import frame
    from evaluate import settings
    from tests.evals.records.test_query import RECORDS

    assert settings(frame(RECORDS), RECORDS) == {1: "", 2: "", 3: "radius 0.1", 4: "radius 0.2"}
    assert settings(frame(RECORDS[:3]), RECORDS[:3]) == {}


def test_the_list_is_sorted_as_asked(shop):
    by_accuracy = sorted(records(), key=lambda r: -r["metrics"]["accuracy"])
    assert listed(succeeded(command("evaluate", "sort=-accuracy"))) == [str(r["doc_id"]) for r in by_accuracy]


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ("regularizer==causal_adv", ["1"]),
        ("radius>=0.05,regularizer==adversarial", ["3"]),
        ("regularizer!=erm, radius<0.1", ["2", "3"]),
        ("'radius<=0.01'", ["2"]),
    ],
)
def test_conditions_are_taken_as_the_help_writes_them(shop, conditions, kept):
    """The shell strips the quotes of where="uai_0.05<=0.1", and Hydra would stumble over the signs."""
    assert listed(succeeded(command("evaluate", f"where={conditions}"))) == kept


def test_the_csv_holds_every_metric(shop):
    succeeded(command("evaluate", "csv=out/runs.csv"))
    with (shop / "out" / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [r["metrics"]["accuracy"] for r in records()]
    assert record(1)["metrics"].keys() <= rows[0].keys()
    assert "params" not in rows[0]


def test_settings_are_columns_where_they_are_named(shop):
    out = succeeded(command("evaluate", "columns=[accuracy,epsilon.radius]", "csv=out/few.csv")).out
    assert "epsilon.radius" in out.splitlines()[0]
    with (shop / "out" / "few.csv").open() as file:
        radii = [float(row["epsilon.radius"]) for row in csv.DictReader(file)]
    assert radii == [r["params"]["epsilon"]["radius"] for r in records()]


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-")])
def test_a_plot_is_a_file_of_its_kind(shop, kind, magic):
    succeeded(command("evals.plot", "dataset=loan", f"out=figures/a.{kind}", "where=radius>0"))
    assert (shop / "figures" / f"a.{kind}").read_bytes().startswith(magic)


def test_the_plot_lists_the_efficient_settings(shop):
    assert "loan_mlp_" in succeeded(command("evals.plot", "dataset=loan", "out=b.png")).out


def test_the_table_shows_a_preset_beside_the_published_figures_and_no_other_run(own):
    train("dataset=lin", "regularizer=ross")
    narrow = ["dataset=lin", "regularizer=erm,llr", "seed=0", "evaluation.metrics.unfair_area.n=20"]
    succeeded(command("train", "+experiment=capify_small", "-m", *SMALL, *narrow))
    rows = succeeded(command("evals.table", "experiment=capify_small", "metrics=accuracy", "format=csv")).out
    ours = {row["regularizer"]: row for row in csv.DictReader(rows.splitlines()) if row["n"] == "1"}
    trained = {r["params"]["choices"]["regularizer"]: r for r in records("lin")}
    assert ours.keys() == {"erm", "llr"}
    for name, row in ours.items():
        assert float(row["mean"]) == trained[name]["metrics"]["accuracy"]
        assert float(row["published"]) > 0


def test_the_modules_run_from_the_command_line(shop):
    answer = succeeded(process("evals.table", "dataset=loan", "metrics=accuracy"))
    assert "| loan | causal_adv |" in answer.out


def test_who_lists_chooses_or_keeps_records_does_not_wait_for_torch(tmp_path):
    """On the example's records, in one process that trains nothing."""
    commands = [
        ("evaluate", "dataset=example", "sort=-accuracy"),
        ("evals.select", "dataset=example", "where=fnr_gap<=0.1", "maximize=accuracy", "card=null"),
        ("evals.report", "dataset=example", "out=page.html"),
        ("evals.table", "dataset=example"),
        ("evals.plot", "dataset=example", "out=plot.png"),
    ]
    probe = (
        "import sys, evals.database; from tests.commands import command\n"
        f"for words in {commands!r}:\n"
        "    answer = command(*words)\n"
        "    assert not answer.code and 'torch' not in sys.modules, (words, answer)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment() | {"TRILEMMA_EVALS": str(ROOT / "evals")},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


# --- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [[], ["all"], ["regularizer"]])
def test_help_imports_no_torch(tmp_path, topic):
    probe = (
        "import runpy, sys\n"
        f"try: runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    words = [sys.executable, "-c", probe, "--help", *topic]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) > 40


def test_the_configuration_is_printed_without_running_it(own):
    answer = succeeded(command("train", "--cfg", "job", "epsilon=0.3", "regularizer=llr"))
    assert "radius: 0.3" in answer.out
    assert "utils.regularizers.llr.llr" in answer.out
    assert not (own / "evals").exists()


@pytest.mark.parametrize("words", [["--cfg", "job", "epsilon=0.3"], ["epsilon=0.3", "--cfg", "job"]])
def test_flags_may_stand_on_either_side(own, words):
    assert "radius: 0.3" in succeeded(command("train", *words)).out


def test_two_processes_with_the_same_run_train_it_once(tmp_path):
    """The second waits for the first and then finds it finished; no weights are written over."""
    with house(tmp_path):
        words = ("train", *SMALL, "seed=11", "trainer.epochs=20")
        with subprocess.Popen(line(*words), stdout=subprocess.PIPE, text=True, env=environment()) as other:
            first = next(text for text in other.stdout if "epoch" in text)
            own, said = command(*words), first + other.stdout.read()
        assert (other.returncode, own.code) == (0, 0)
        assert ["finished before" in text for text in (said, own.out)] == [False, True]
        assert len(RunStore(paths_config.database("loan")).all()) == 1
        assert from_database(1, "loan").training is False


def test_an_error_while_judging_fails_the_run_and_not_the_sweep(tmp_path):
    """Weights so large that the logits overflow: recorded as failed with its reason, the next job finishes."""
    with house(tmp_path):
        answer = command("train", "-m", *SMALL, "trainer=sgd", "model.activation=relu", "trainer.lr=1e6,0.01")
        assert answer.code == 1
        assert [r["status"] for r in RunStore(paths_config.database("loan")).all()] == ["failed", "finished"]
        assert "Traceback" not in answer.err


def test_evaluate_reads_a_number_for_epsilon_as_the_radii_to_judge_at(shop):
    answer = command("evaluate", "id=2", "epsilon=0.3,0.4", *JUDGED)
    assert answer.code == 0, answer.err
    assert {"uai_0.3", "uai_0.4"} <= record(2)["evaluations"]["pgd_l2@0.3+0.4"]["metrics"].keys()


def test_a_finished_run_whose_weights_are_gone_is_trained_again_in_its_place(tmp_path):
    with house(tmp_path):
        assert command("train", *SMALL).code == 0
        file = paths_config.weights_file(RunStore(paths_config.database("loan")).get(1)["weights"]["path"])
        file.unlink()
        assert "filed as record 1 " in command("train", *SMALL).out
        assert file.is_file()
