"""Thresholds of groups through the commands: filed, loaded, judged anew, refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import paths_config
from tests.commands import SMALL, command, house, refused
from tests.image_files import write
from tests.utils.datasets.test_celeba import face, partition, table
from utils import build
from utils.decides.group_thresholds import GroupThresholds
from utils.decides.random_thresholds import RandomThresholds
from utils.model_zoo import from_database, predictor
from utils.run_store import RunStore
from utils.words.numbers import write_estimate

pytestmark = pytest.mark.e2e

FAST = (*(w for w in SMALL if "unfair_area" not in w), "~evaluation.metrics.unfair_area", "watch=[accuracy]")
LEAN = (*FAST, "dataset.rows=600")
OPTIONS = ("group_exact", "group_grid", "group_randomized")
TABLE = [f"{i % 2},{i * 7 % 50},{(i // 3) % 2},{(i // 2) % 3}" for i in range(90)]


def records(dataset="loan"):
    return RunStore(paths_config.database(dataset)).all()


def data_of(record):
    return build.build_dataset(record["params"], torch.device("cpu"))


def figures(labels, rows):
    """Accuracy and the gap in false negative rates, from their definitions."""
    labels, y, s = labels.numpy(), rows.y.numpy(), rows.s.numpy()
    missed = [(labels[(s == i) & (y == 1)] == 0).mean() for i in (0, 1)]
    return (labels == y).mean(), abs(missed[1] - missed[0])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Records 1 to 6 of loan: each option twice, trained in stacks; and tables of one's own."""
    with house(tmp_path_factory.mktemp("home")) as folder:
        sweep = ("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=0,1", f"decide={','.join(OPTIONS)}")
        answer = command("train", *LEAN, *sweep)
        assert answer.code == 0, answer.err
        head = "sex,age,y,kind\n"
        (folder / "people.csv").write_text(head + "\n".join(TABLE))
        few = [row if row.startswith("0") else row[: row.index(",")] + f",{i},0,0" for i, row in enumerate(TABLE)]
        (folder / "undefined.csv").write_text(head + "\n".join(few))
        yield folder


def test_every_option_was_filed_with_its_decision(home):
    kinds = {record["params"]["choices"]["decide"]: build.bind(record["decide"], "decide") for record in records()}
    assert sorted(kinds) == sorted(OPTIONS)
    assert isinstance(kinds["group_randomized"], RandomThresholds)
    assert isinstance(kinds["group_grid"], GroupThresholds)


@pytest.mark.parametrize("doc_id", range(1, 7))
def test_a_loaded_model_decides_as_it_was_evaluated(home, doc_id):
    record = records()[doc_id - 1]
    rows = data_of(record).test
    found = figures(from_database(doc_id, "loan").decide(rows.x), rows)
    assert found == pytest.approx((record["metrics"]["accuracy"], record["metrics"]["fnr_gap"]), abs=1e-12)


@pytest.mark.parametrize("doc_id", [1, 6])
def test_a_point_of_a_loaded_model_decides_as_the_record_says(home, doc_id):
    record = records()[doc_id - 1]
    rows, points = data_of(record).test, record["operating_points"]
    assert points["fit_on"] == "valid"
    for i in range(len(points["permitted"])):
        found = figures(from_database(doc_id, "loan", point=i).decide(rows.x), rows)
        expected = points["metrics"]["accuracy"][i], points["metrics"]["fnr_gap"][i]
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_point_of_a_permitted_gap_is_what_group_exact_decides_by(home):
    record = next(r for r in records() if r["params"]["choices"]["decide"] == "group_exact")
    points = record["operating_points"]
    assert points["logits"][points["permitted"].index(0.05)] == record["decide"]["logits"]


def test_a_predictor_finds_the_groups_itself(home):
    model, predict = from_database(6, "loan"), predictor(6, "loan")
    x = data_of(records()[5]).test.x
    frame = pd.DataFrame(model.natural(x).numpy(), columns=[c.name for c in model.columns])
    decided = predict(frame)["decision"].to_numpy()
    assert np.mean(decided != model.decide(x).numpy()) < 0.01  # units are crossed twice, which moves last bits


def test_evaluating_anew_judges_with_the_stored_decision(home):
    for doc_id in (1, 6):
        command("evaluate", f"id={doc_id}", "name=again", "device=cpu", "~evaluation.metrics.unfair_area")
        record = records()[doc_id - 1]
        for key in ("accuracy", "fnr_gap", "fpr_group1"):
            assert record["evaluations"]["again"]["metrics"][key] == pytest.approx(record["metrics"][key], abs=1e-12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("decide=group_exact", "decide.rate=fpr"), " for gender=1 (decide=group_exact)"),
        (("decide=group_randomized",), "%) for gender="),
        (("decide=group_grid", "decide.permitted=0"), "for gender=0, 0."),
    ],
)
def test_the_thresholds_of_each_group_are_said(home, words, said):
    answer = command("train", *LEAN, "seed=2", *words)
    assert answer.code == 0, answer.err
    line = next(of for of in answer.out.splitlines() if "class 1 from a probability" in of)
    assert said in line


def test_a_grid_without_a_permitted_policy_is_warned_of_in_the_record(home):
    answer = command("train", *LEAN, "seed=3", "decide=group_grid", "decide.permitted=0", "decide.levels=2")
    warning, beyond = records()[-1]["warnings"]
    assert "no policy of the grid keeps the gap in fnr to 0" in warning
    assert warning in answer.err
    assert beyond in answer.err
    assert "the gap may be larger than it was fitted to be: fitted to fnr_gap<=0 on" in beyond


def test_what_thresholds_were_fitted_to_is_filed_and_said(home):
    """By hand from the thresholds and the validation rows, which are not those of the test."""
    answer = command("train", *LEAN, "seed=4", "decide=group_exact", "decide.permitted=0.3")
    record, said = records()[-1], "fitted to fnr_gap<=0.3 on 96 validation rows (there "
    fitted, rows = record["fitted"], data_of(record).valid
    model = from_database(record["doc_id"], "loan")
    _, gap = figures(model.decide(rows.x, rows.s), rows)
    assert (fitted["rate"], fitted["permitted"], fitted["rows"], fitted["split"]) == ("fnr", 0.3, 96, "valid")
    assert fitted["gap"] == pytest.approx(gap)
    assert fitted["denominators"]["fnr"] == [int(((rows.s == i) & (rows.y == 1)).sum()) for i in (0, 1)]
    test = write_estimate(*(record["metrics"][f"fnr_gap{end}"] for end in ("", "_low", "_high")))
    assert f"{said}{gap:.3f}); test {test}" in answer.out + answer.err


def test_a_fit_with_a_margin_is_asked_for_by_its_confidence(home):
    answer = command("train", *LEAN, "seed=5", "decide=group_exact", "decide.permitted=0.3", "decide.confidence=0.8")
    assert answer.code == 0, answer.err
    fitted = records()[-1]["fitted"]
    assert fitted["gap"] <= fitted["bound"] <= 0.3
    assert "with a confidence of 0.8" in answer.out + answer.err


def own_table(file, *words):
    start = ("dataset=csv", f"dataset.path={file}.csv", "dataset.name=own", "dataset.label=y", "dataset.sensitive=sex")
    return command("train", *FAST, *start, *words)


def test_a_frontier_that_is_undefined_is_a_warning_and_the_run_is_finished(home):
    assert own_table("undefined").code == 0
    (record,) = records("own")
    assert record["status"] == "finished"
    assert "operating_points" not in record
    assert any("no operating points: " in word and "group sex=1 is undefined" in word for word in record["warnings"])


SMALL_ONES = "sex=man,place=other and sex=woman,place=other"
PAIRS = [f"{('man', 'woman')[i % 2]},{('east', 'west')[i // 2 % 2]},{i * 7 % 50},{i // 3 % 2}" for i in range(240)]
PAIRS += [f"{('man', 'woman')[i % 2]},other,{i * 7 % 50},{i // 2 % 2}" for i in range(16)]


@pytest.fixture(scope="module")
def paired(home):
    """Its answer, record and card: two sensitive attributes, of whose combinations two have few rows."""
    (home / "paired.csv").write_text("sex,place,age,y\n" + "\n".join(PAIRS))
    words = ("dataset.sensitive=[sex,place]", "decide=group_exact", "decide.groups_min=4", "decide.permitted=0.3")
    answer = own_table("paired", *words, "dataset.name=paired", "operating_points.groups_min=4", "fit_on=train")
    assert answer.code == 0, answer.err
    chosen = command("evals.select", "dataset=paired", "maximize=accuracy", "card=paired.md")
    assert chosen.code == 0, chosen.err
    return answer, records("paired")[0], (home / "paired.md").read_text(), chosen.out


def test_combinations_with_few_rows_share_a_threshold_that_the_record_names(paired):
    _, record, _, _ = paired
    names = record["preprocessing"]["groups"]
    few = [i for i, name in enumerate(names) if "other" in name]
    rows = data_of(record).train
    for fitted in (record["fitted"], record["operating_points"]["fitted"]):
        assert fitted["small"]["groups"] == [names[i] for i in few]
        assert fitted["small"]["threshold"] == "shared"
        assert fitted["small"]["rows"] == sum(int((rows.s == i).sum()) for i in few)
    for logits in (record["decide"]["logits"], *record["operating_points"]["logits"]):
        assert logits[few[0]] == logits[few[1]]
    unit = torch.tensor([min(few) if i in few else i for i in range(len(names))])[rows.s]
    labels = from_database(1, "paired").decide(rows.x, rows.s)
    missed = [(labels[(unit == i) & (rows.y == 1)] == 0).double().mean().item() for i in unit.unique()]
    assert record["fitted"]["gap"] == pytest.approx(max(missed) - min(missed))
    assert record["fitted"]["gap"] <= 0.3


def test_combinations_with_few_rows_are_named_on_the_terminal_and_the_card(paired):
    answer, record, card, chosen = paired
    rows = record["fitted"]["small"]["rows"]
    said = f"{SMALL_ONES} share one threshold, fitted on their {rows} rows together"
    assert said in answer.out
    assert said in chosen
    assert f"{said}, and count as one group in the gap there." in card.replace("\\", "")


def test_no_points_are_filed_where_none_are_asked_for(home):
    assert own_table("people", "dataset.name=none", "operating_points=null").code == 0
    assert "operating_points" not in records("none")[0]


REFUSED = [
    (("decide=group_exact", "decide.permitted=2"), ("decide.permitted=2", "in [0, 1]")),
    (("decide=group_randomized", "decide.permitted=-1"), ("decide.permitted=-1", "in [0, 1]")),
    (("decide=group_exact", "decide.rate=fnrr"), ("decide.rate='fnrr'", "expected fnr or fpr or acceptance_rate or")),
    (("decide=group_exct",), ("did you mean group_exact",)),
    (("decide=group_exact", "decide.permited=0.1"), ("did you mean decide.permitted?",)),
    (("decide=group_grid", "decide.levels=1"), ("levels=1", "in [2, 1000]")),
    (("operating_points.rates=[fnrr]",), ("operating_points=", "fnr, fpr, acceptance_rate")),
    (("operating_points.permitted=[2]",), ("operating_points.permitted=", "in [0, 1]")),
]


@pytest.mark.parametrize(("words", "phrases"), REFUSED)
def test_what_cannot_be_meant_is_refused_before_training(home, words, phrases):
    before = len(records())
    refused(command("train", *LEAN, "seed=9", *words), *phrases)
    assert len(records()) == before


def test_a_group_without_positives_is_refused_by_its_name(home):
    refused(own_table("undefined", "dataset.name=new", "decide=group_exact"), "false negative rate of group sex=1")
    assert not paths_config.database("new").exists()


def test_more_than_two_classes_are_refused(home):
    words = ("dataset=digits", "decide=group_exact", "trainer.epochs=1", "device=cpu")
    refused(command("train", *words), "got 10 logits", "decide=fixed")


FACES = (
    "dataset=celeba", "dataset.size=8", "model=small_cnn", "decide=group_randomized", "decide.rate=acceptance_rate",
    "decide.groups_min=1", "operating_points.groups_min=1",
    "fit_on=train", "trainer.epochs=1", "trainer.batch_size=4", "device=cpu", "epsilon.evaluate=[0.01]",
    "~evaluation.metrics.ensemble", "~evaluation.metrics.attacked", "~evaluation.metrics.curve",
    "~evaluation.metrics.masking", "watch=[accuracy]",
)  # fmt: skip


@pytest.fixture(scope="module")
def faces(home):
    """A small CelebA with one record."""
    write(home / "data/celeba", {"list_attr_celeba.txt": table(), "list_eval_partition.txt": partition()})
    write(home / "data/celeba/img_align_celeba", {f"{i + 1:06}.jpg": face(i) for i in range(24)})
    answer = command("train", *FACES)
    assert answer.code == 0, answer.err
    return records("celeba")[0]


def test_faces_are_decided_by_the_groups_they_are_given(faces):
    rows, model = data_of(faces).test, from_database(1, "celeba")
    accuracy = (model.decide(rows.rows(slice(None)).x, rows.s) == rows.y).double().mean().item()
    assert accuracy == faces["metrics"]["accuracy"]
    decided = predictor(1, "celeba")(rows.x.numpy(), rows.s.numpy())["decision"].to_numpy()
    assert (decided == rows.y.numpy()).mean() == accuracy


def test_faces_without_groups_are_not_decided(faces):
    with pytest.raises(ValueError, match="images do not tell their group"):
        predictor(1, "celeba")(data_of(faces).test.x.numpy())


def test_faces_have_operating_points(faces):
    points = faces["operating_points"]
    assert points["fit_on"] == "train"
    assert None not in points["metrics"]["accuracy"]
    assert points["fitted"]["split"] == "train"
    assert sum(points["fitted"]["denominators"]["fnr"]) > 0


def test_faces_of_one_group_are_refused(faces):
    refused(command("train", *FACES, "dataset.sensitive=null"), "two groups or more", "dataset.sensitive")


@pytest.mark.parametrize("kept", [(), ("operating_points=null",)])
def test_faces_of_one_group_have_no_points_and_no_warning(faces, kept):
    words = [word for word in FACES if "decide" not in word]
    assert command("train", *words, "dataset.sensitive=null", "dataset.name=alike", "existing=replace", *kept).code == 0
    (record,) = records("alike")
    assert not {"operating_points", "warnings"} & record.keys()
