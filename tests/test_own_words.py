"""A table of texts through the commands: groups, classes and rows in the words of the file, one group for each race."""

import numpy as np
import pandas as pd
import pytest
import torch

import paths_config
from tests.commands import SMALL, command, house
from utils.model_zoo import from_database, predictor
from utils.run_store import RunStore

RACES = ["asian, other", "black", "hispanic", "white (=w)"]
NAMES = ['race="asian, other"', "race=black", "race=hispanic", 'race="white (=w)"']
OWN = ("dataset=csv", "dataset.path=people.csv", "dataset.label=hired", "dataset.sensitive=race", "scm=linear")
GRAPH = "dataset.graph={income: [race]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The answer to a training on 1,200 rows, its record, and the folder that it is in."""
    with house(tmp_path_factory.mktemp("people")) as folder:
        rng = np.random.default_rng(0)
        race = rng.choice(4, 1200, p=[0.2, 0.25, 0.15, 0.4])
        income = 40 + np.array([8, -6, -4, 6])[race] + rng.normal(0, 5, 1200)
        hired = np.where(income + rng.normal(0, 5, 1200) > 42, "yes", "no")
        frame = pd.DataFrame({"race": np.array(RACES)[race], "income": income, "hired": hired})
        frame.to_csv(folder / "people.csv", index=False)
        answer = command("train", *OWN, GRAPH, *SMALL, "decide=group_exact", "fit_on=train")
        assert answer.code == 0, answer
        yield answer, RunStore(paths_config.database("csv")).all()[-1], folder


def test_the_record_holds_the_texts_and_the_console_says_them(trained):
    answer, record, _ = trained
    stored = record["preprocessing"]
    assert stored["groups"] == NAMES
    assert stored["class_names"] == ["no", "yes"]
    assert [c.get("attribute") for c in stored["columns"]] == ["race"] * 4 + [None]
    assert [c["texts"] for c in stored["columns"][:4]] == [["", race] for race in RACES]
    line = next(line for line in answer.out.splitlines() if "from a probability of" in line)
    assert "class yes" in line
    assert all(f"for {name}" in line for name in NAMES)


def test_a_stored_model_knows_its_groups_and_takes_the_rows_of_the_file(trained):
    model = from_database(1, "csv")
    assert model.groups(torch.cat([torch.eye(4), torch.zeros(4, 1)], 1)).tolist() == [0, 1, 2, 3]
    assert model.class_names == ("no", "yes")
    rows = pd.DataFrame({"race": RACES, "income": 45.0})
    assert len(predictor(1, "csv")(rows)) == 4
    with pytest.raises(ValueError, match="Black"):
        predictor(1, "csv")(rows.replace("black", "Black"))


def test_the_card_and_the_page_speak_of_the_classes_by_their_texts(trained):
    _, _, folder = trained
    assert command("evals.select", "dataset=csv", "maximize=accuracy", f"card={folder / 'card.md'}").code == 0
    card = (folder / "card.md").read_text()
    assert "| Classes | no, yes |" in card
    assert "### Columns as read" in card
    assert all(f"| {name} |" in card for name in ("race", "income"))
    assert "largest difference in share of class yes between groups" in card
    assert "favourable" not in card
    assert command("evals.report", "dataset=csv", f"out={folder / 'page.html'}").code == 0
    assert "share of class yes" in (folder / "page.html").read_text()


def test_rows_in_the_words_of_the_file_are_added(trained):
    _, _, folder = trained
    (folder / "more.csv").write_text('race,income,hired\n"asian, other",45,1\nblack,30,0\n')
    answer = command("train", *OWN, GRAPH, *SMALL, "added=more.csv")
    assert answer.code == 0, answer
    (folder / "more.csv").write_text("race,income,hired\nBlack,45,1\n")
    answer = command("train", *OWN, GRAPH, *SMALL, "added=more.csv")
    assert answer.code == 2
    assert "did you mean black?" in answer.err


def test_rows_like_those_of_the_file_are_added(trained):
    """As they were delivered, labels in words: the same rows as a search writes, to the last bit of the weights."""
    _, _, folder = trained
    weights = []
    for text in ("race,income,hired\nblack,30,no\nhispanic,51,yes\n", "hired,income,race\n0,30,black\n1,51,hispanic\n"):
        (folder / "like.csv").write_text(text)
        answer = command("train", *OWN, GRAPH, *SMALL, "added=like.csv", "existing=replace")
        assert answer.code == 0, answer
        weights.append(RunStore(paths_config.database("csv")).all()[-1]["weights"]["sha256"])
    assert weights[0] == weights[1]
    (folder / "like.csv").write_text("race,income,hired\nblack,30,perhaps\n")
    answer = command("train", *OWN, GRAPH, *SMALL, "added=like.csv")
    assert answer.code == 2
    assert "perhaps" in answer.err
