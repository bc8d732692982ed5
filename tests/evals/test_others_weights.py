"""What select, card and page say of weights that others trained, and of figures of fewer rows than others'."""

from evals import select
from evals.cards import card_sections, technical_identity
from evals.choosing.two_models import Compared
from evals.page import content as contents
from evals.plots import text
from evals.records import query
from evals.records.base_run import find_base
from tests.evals.choosing.test_choice import best, chosen
from tests.evals.given import SHA256, given, robust
from tests.evals.records.test_query import record, write
from tests.evals.test_plot import chart
from tests.evals.test_report import content, decoded

AVERAGE, WORST = "robust_accuracy_8/255", "robust_accuracy_worst_class_8/255"
ROWS = [robust(1, "trades", 359, worst=0.75), robust(2, "llr", 30, worst=1.0), robust(3, "erm", 359, worst=0.5)]


def run(*words):
    return query.command(select.select, select.OPTIONS, ["dataset=loan", *words])


# --- weights of others -------------------------------------------------------------------------------------------


def test_the_card_says_that_the_weights_were_not_trained_here(folder, capsys):
    write(folder, "loan", [given(1), record(2, metrics={"accuracy": 0.5})])
    assert run("maximize=accuracy", "card=card.md") == 0
    said, card = capsys.readouterr().out, (folder / "card.md").read_text()
    assert "weights of r18.pt (sha256 0b9b94f0), not trained here" in said
    assert f"the weights of the file r18.pt (sha256 {SHA256}) were judged as they are" in card
    assert "On 359 test rows; whether the training of these weights saw them is not known" in card
    assert "neither training nor thresholds" not in card
    for word in ("Objective", "Trainer", "Radius in training", "| Trained |", "SGD", "0.06", "- erm"):
        assert word not in card


def test_the_choice_is_told_by_no_setting_of_a_training(folder, capsys):
    write(folder, "loan", [given(1), given(2, mean=0.3), record(3, metrics={"accuracy": 0.5})])
    run("maximize=accuracy", "card=null", "seeds=runs")
    said = capsys.readouterr().out
    assert "model=resnet18" in said
    for word in ("regularizer=", "epochs", "epsilon.radius", SHA256):
        assert word not in said.partition("reproduce")[0]


def test_a_model_trained_here_keeps_its_training_on_the_card():
    trained = given(1)
    trained["params"]["model"]["weights"] = None
    rows = dict(technical_identity.details(trained, [])[1].rows)
    assert {"Trainer", "Trained"} <= rows.keys()
    assert "Training" not in rows


def test_the_page_says_so_with_the_run_and_lists_no_setting_of_a_training():
    held = content([given(1), record(2, metrics={"accuracy": 0.5})])
    first, second = decoded(held["runs"]["warnings"], 2)
    assert "not trained here" in first
    assert second is None
    assert decoded(held["settings"]["params"]["epsilon.radius"], 2)[0] is None
    assert not any(key.startswith("trainer") for key in (*held["settings"]["shared"], *held["settings"]["params"]))


def test_weights_of_a_file_have_no_base():
    """Not even where the regularizer that was typed, and never read, is another than the plain loss."""
    own = given(1) | {"fingerprint": "a", "seed": 0}
    own["params"] |= {"regularizer": {"trades": {"weight": 1.0}}}
    assert find_base(own, [given(2) | {"fingerprint": "a", "seed": 0}]) is None


# --- figures of fewer rows -----------------------------------------------------------------------------------------


def test_of_runs_judged_on_other_rows_those_of_most_rows_compete():
    found = chosen(ROWS, maximize=WORST)
    assert best(found) == [1]
    (why,) = found.pool.left_out
    assert "record 2" in why
    assert "30 rows" in why


def test_runs_of_one_number_of_rows_compete_and_the_answer_says_of_how_many(folder, capsys):
    write(folder, "loan", [robust(1, "trades", 30, worst=0.75), robust(2, "llr", 30)])
    run(f"maximize={AVERAGE}", "card=card.md")
    assert "over 30 rows" in capsys.readouterr().out
    card = (folder / "card.md").read_text()
    assert "| robust accuracy at radius 8/255, of 30 rows |" in card
    assert "On 359 test rows, which neither training nor thresholds have seen; figures of fewer say so." in card


def test_a_card_counts_the_rows_of_a_later_evaluation_by_its_own_counts():
    later = {"metrics": {AVERAGE: 0.5}, "shares": {AVERAGE: [10, 20]}, "settings": {}}
    _, figures, *_ = card_sections.robustness(ROWS[0] | {"evaluations": {"strong": later}})
    said = [row[0] for row in figures.rows]
    assert "robust accuracy at radius 8/255, of 20 rows [strong]" in said
    assert "robust accuracy at radius 8/255" in said


def test_a_card_names_the_radius_of_the_training():
    assert card_sections.words("robust_accuracy", record(1, radius="8/255")).endswith("at the training radius 8/255")


def test_a_frontier_of_figures_of_other_rows_warns():
    warned = text.describe_rows(chart(ROWS, "x=accuracy", f"y={WORST}"))
    assert warned.startswith(f"beware: {WORST}: of 30 rows in record 2; of all test rows in records 1, 3.")
    assert text.describe_rows(chart(ROWS[::2], "x=accuracy", f"y={WORST}")) == ""


def test_two_models_are_not_compared_by_figures_of_other_rows():
    keys = ["accuracy", AVERAGE, WORST]
    of = Compared((ROWS[0], ROWS[1]), ROWS, keys, 0.95)
    assert [found.key for found, _ in of.rows] == ["accuracy"]
    assert len(of.other_rows) == 1
    assert f"{AVERAGE}, {WORST}: of 30 rows in record 2" in of.other_rows[0]
    assert [found.key for found, _ in Compared((ROWS[0], ROWS[2]), ROWS, keys, 0.95).rows] == keys


def test_the_page_says_of_how_few_rows_a_headline_is():
    headed = [AVERAGE, WORST, "accuracy", "uai_0.05"]
    assert contents._remarks(ROWS[1], headed) == [f"Of 30 test rows alone: {AVERAGE}, {WORST}"]
    assert contents._remarks(ROWS[0], headed) == []
